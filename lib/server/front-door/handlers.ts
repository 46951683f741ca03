/** What answers the pages' requests: `show…` on GET, and on POST what a form does. */
import type { IncomingMessage } from 'node:http'
import { EmailTaken, UnknownToken } from '../../../auth.ts'
import type { Config } from '../config.ts'
import { field, type Form, readForm } from '../form.ts'
import { clientOf, cut } from '../head.ts'
import { checkRegistration } from '../registration.ts'
import { failAs, HttpError, type Reply, type ReplyHeaders, type Service } from '../service.ts'
import { endSessions, sessionCookie, userOf } from '../session.ts'
import { type Page, show, showError } from './page.ts'
import * as pages from './pages.ts'
import { ACCOUNT, returnTo } from './return-to.ts'

/** `GET /login`. */
export function showLogin(service: Service, request: IncomingMessage): Promise<Reply> {
  return showForm(service, request, pages.login)
}

/** `POST /login`: begins a session. */
export function logIn(service: Service, request: IncomingMessage): Promise<Reply> {
  const { auth, config } = service
  return submit(service, request, pages.login, async (form) => {
    const email = field(form, 'email', 401).trim()
    const sessionId = await auth.logIn(email, field(form, 'password', 401), clientOf(config, request))
    return returnWith(sessionId, service, request, form)
  })
}

/** `GET /register`. */
export function showRegister(service: Service, request: IncomingMessage): Promise<Reply> {
  checkRegistration(service.config, request)
  return showForm(service, request, pages.register)
}

/** `POST /register`: registers a user and begins a session. */
export function register(service: Service, request: IncomingMessage): Promise<Reply> {
  const { auth, config } = service
  return submit(service, request, pages.register, async (form) => {
    checkRegistration(config, request)
    const email = emailIn(form)
    await auth
      .registerUser(email, field(form, 'password', 400), clientOf(config, request))
      .catch(failAs(EmailTaken, 400, 'this email is registered already: log in, or take another'))
    return returnWith(await auth.createSession(email), service, request, form)
  })
}

/** `POST /logout`: ends the session, if there is one. */
export async function logOut(service: Service, request: IncomingMessage): Promise<Reply> {
  await endSessions(service, request)
  return seeOther('/login', { 'Set-Cookie': sessionCookie(service.config, '', 0) })
}

const TO_LOGIN = '/login?rd=/account'

/** `GET /account`: who is logged in. */
export async function showAccount(service: Service, request: IncomingMessage): Promise<Reply> {
  const user = await userOf(service, request)
  if (user === null) return seeOther(TO_LOGIN)
  const notice = noticeOn('/account', service.config, request)
  return { ...show(service, pages.account, 200, { email: user.email, notice }), userId: user.id }
}

/** `POST /account`: changes the password; a new session replaces the old one, which somebody else may know. */
export async function changePassword(service: Service, request: IncomingMessage): Promise<Reply> {
  const { auth, config } = service
  const user = await userOf(service, request)
  if (user === null) return seeOther(TO_LOGIN)
  const work = async (form: Form) => {
    const [password, newPassword] = [field(form, 'password', 401), field(form, 'new_password', 400)]
    const sessionId = await auth.changePassword(user.id, password, newPassword, clientOf(config, request))
    if (sessionId === null) throw new HttpError(401, 'the current password is wrong')
    return seeOther('/account', { 'Set-Cookie': sessionCookie(config, sessionId, auth.options.sessionTtl) })
  }
  return { ...(await submit(service, request, pages.account, work, user.email)), userId: user.id }
}

/** `GET /forgot`. */
export function showForgot(service: Service): Reply {
  return show(service, pages.forgot, 200)
}

/** `POST /forgot`: has a link sent; the page says nothing of whether the email is known. */
export function forgot(service: Service, request: IncomingMessage): Promise<Reply> {
  return submit(service, request, pages.forgot, async (form) => {
    const email = field(form, 'email', 400).trim()
    service.webhook?.send(email)
    return show(service, pages.sent, 200, { email })
  })
}

/** `GET /reset`: where the link in the mail leads. The token is in the form that comes back, not in a cookie. */
export function showReset(service: Service, request: IncomingMessage): Reply {
  const query = queryOf(request)
  return show(service, pages.reset, 200, { token: query.get('token') ?? '', email: query.get('email') ?? '' })
}

/** `POST /reset`: sets the password; the user then logs in with it. */
export function reset(service: Service, request: IncomingMessage): Promise<Reply> {
  const { auth, config } = service
  return submit(service, request, pages.reset, async (form) => {
    const email = field(form, 'email', 403).trim()
    const [token, password] = [field(form, 'token', 403), field(form, 'new_password', 400)]
    await auth
      .updatePassword(token, password, email, clientOf(config, request))
      .catch(failAs(UnknownToken, 403, 'this link has been used or has expired'))
    return seeOther('/login')
  })
}

/** Shows a form that begins a session; a user who has one already returns immediately. */
async function showForm(service: Service, request: IncomingMessage, page: Page): Promise<Reply> {
  const address = returnAddress(service, request)
  if ((await userOf(service, request)) !== null) return seeOther(address)
  const notice = noticeOn('/login', service.config, request)
  return show(service, page, 200, { returnTo: carried(address), notice })
}

/** Lets a form do its work. On a failure its page comes back with the reason, and with what was filled in except passwords. */
async function submit(
  service: Service,
  request: IncomingMessage,
  page: Page,
  work: (form: Form) => Promise<Reply>,
  email?: string,
): Promise<Reply> {
  let form: Form = new Map()
  try {
    form = await readForm(request)
    return await work(form)
  } catch (error) {
    // A client that has disconnected sees no page.
    if (request.socket.destroyed) throw error
    const address = carried(returnAddress(service, request, form))
    const filledIn = { email: email ?? emailIn(form), token: form.get('token') ?? '', returnTo: address }
    return showError(service, page, error, filledIn)
  }
}

/** Sends a browser to where the login was to lead, with the new session. */
function returnWith(sessionId: string | null, service: Service, request: IncomingMessage, form: Form): Reply {
  if (sessionId === null) throw new HttpError(401, 'wrong email or password')
  const cookie = sessionCookie(service.config, sessionId, service.auth.options.sessionTtl)
  return seeOther(returnAddress(service, request, form), { 'Set-Cookie': cookie })
}

/** Sends a browser on; it gets the page there, whatever the method was (RFC 9110, section 15.4.4). */
function seeOther(location: string, headers: ReplyHeaders = {}): Reply {
  return { status: 303, headers: { Location: location, ...headers } }
}

/** Where a form, or a query, asks to return to. */
function returnAddress({ config }: Service, request: IncomingMessage, form?: Form): string {
  return returnTo(config, form?.get('rd') ?? queryOf(request).get('rd') ?? undefined)
}

/** The address to return to as a page carries it: empty when a login leads there anyway. */
function carried(address: string): string {
  return address === ACCOUNT ? '' : address
}

function queryOf({ url = '' }: IncomingMessage): URLSearchParams {
  return new URLSearchParams(cut(url, '?')[1])
}

/** The email in a form, without the space that phones put behind a word. */
function emailIn(form: Form): string {
  return form.get('email')?.trim() ?? ''
}

/** By the page that the form was on, and the page that it leads to. Nothing but the form's success leads from one to the other. */
const NOTICES = new Map([
  ['/account /account', 'Your password has been changed.'],
  ['/account /login', 'You are logged out.'],
  ['/reset /login', 'Your password has been changed. Log in with the new one.'],
])

/** What to tell on a page. A browser says in `Referer` which page's form was sent, so that nothing has to be kept for it. */
function noticeOn(page: string, { publicUrl }: Config, { headers }: IncomingMessage): string {
  const { referer = '', host } = headers
  if (!URL.canParse(referer)) return ''
  const from = new URL(referer)
  const isOurs = from.host === (publicUrl === null ? host : new URL(publicUrl).host)
  return (isOurs && NOTICES.get(`${from.pathname} ${page}`)) || ''
}
