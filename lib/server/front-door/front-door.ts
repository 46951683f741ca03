/** The front door: pages for people with a browser, and replies to proxies and balancers. README.md describes both. */
import type { IncomingMessage } from 'node:http'
import { EmailTaken } from '../../../auth.ts'
import type { Config } from '../config.ts'
import { field, type Form, formOf, readForm } from '../form.ts'
import { checkRegistration, clientOf, CROSS_ORIGIN, cut, OWN_HOST, pathOf } from '../head.ts'
import { type Handler, HttpError, type Reply, replyToError as toJson, type Service } from '../service.ts'
import { cookie, cookiesOf, endSessions, sessionCookie, sessionOf } from '../session.ts'
import { type Page, show, showError, type State } from './page.ts'
import * as pages from './pages.ts'
import { returnTo } from './return-to.ts'
import { healthz, verify } from './verify.ts'

/** The pages' requests, and what answers them. Errors are shown as a page on every path that has a POST here. */
const PAGES: Readonly<Record<string, Handler>> = {
  'GET /login': (service, request) => showForm(service, request, pages.login),
  'POST /login': logIn,
  'GET /register': showRegister,
  'POST /register': register,
  'POST /logout': logOut,
  'GET /account': showAccount,
  'POST /account': changePassword,
  'GET /forgot': (service) => show(service, pages.forgot, 200),
  'POST /forgot': forgot,
  'GET /reset': showReset,
  'POST /reset': reset,
}

/** The forms that come back when they fail, by path. */
const FORMS = new Map([
  ['/login', pages.login],
  ['/register', pages.register],
  ['/forgot', pages.forgot],
  ['/reset', pages.reset],
])

const NEEDS_HTTPS = new HttpError(
  403,
  'over http your browser does not keep the cookie of a login: open this page with https',
)

/** The routes, and the reply to a request that failed: JSON, or a page with the form as sent, without passwords. */
export function frontDoor(service: Service) {
  const routes = new Map<string, Handler>(Object.entries({ ...PAGES, 'GET /verify': verify, 'GET /healthz': healthz }))
  // Without a webhook nothing can send the link, and to show it would hand the token to whoever asks.
  if (service.webhook === null) for (const method of ['GET', 'POST']) routes.delete(`${method} /forgot`)
  return {
    routes,
    replyToError(error: unknown, request: IncomingMessage): Reply {
      const path = pathOf(request.url ?? '')
      if (!routes.has(`POST ${path}`)) return toJson(error)
      // With PUBLIC_URL, a form that comes over http looks like another site's.
      const reason = error === CROSS_ORIGIN && isOverHttp(service.config, request) ? NEEDS_HTTPS : error
      const page = request.method === 'POST' ? FORMS.get(path) : undefined
      if (page === undefined) return showError(service, pages.failed, reason)
      const form = formOf(request)
      const [email = '', token = ''] = [form.get('email'), form.get('token')]
      return showError(service, page, reason, { email, token, returnTo: returnAddress(service, request) })
    },
  }
}

async function logIn(service: Service, request: IncomingMessage): Promise<Reply> {
  const { auth, config } = service
  const form = await readForm(request)
  if (isOverHttp(config, request)) throw NEEDS_HTTPS
  const email = emailIn(form, 401)
  const sessionId = await auth.logIn(email, field(form, 'password', 401), clientOf(config, request))
  return returnWith(sessionId, service, request)
}

function showRegister(service: Service, request: IncomingMessage): Promise<Reply> {
  checkRegistration(service.config, request)
  return showForm(service, request, pages.register)
}

/** `POST /register`: registers a user and begins a session. A second click finds the email taken, and logs in. */
async function register(service: Service, request: IncomingMessage): Promise<Reply> {
  const { auth, config } = service
  const form = await readForm(request)
  checkRegistration(config, request)
  if (isOverHttp(config, request)) throw NEEDS_HTTPS
  const [email, password] = [emailIn(form, 400), field(form, 'password', 400)]
  const client = clientOf(config, request)
  try {
    await auth.registerUser(email, password, client)
  } catch (error) {
    if (!(error instanceof EmailTaken)) throw error
    const sessionId = await auth.logIn(email, password, client)
    if (sessionId !== null) return returnWith(sessionId, service, request)
    throw new HttpError(400, 'this email is registered already: log in, or use another')
  }
  return returnWith(await auth.createSession(email), service, request)
}

async function logOut(service: Service, request: IncomingMessage): Promise<Reply> {
  await endSessions(service, request)
  const { config } = service
  return seeOther('/login', [sessionCookie(config, '', 0), noticeCookie(config, 'logged-out')])
}

const TO_LOGIN = '/login?rd=/account'

async function showAccount(service: Service, request: IncomingMessage): Promise<Reply> {
  const session = await sessionOf(service, request)
  if (session === null) return seeOther(TO_LOGIN)
  const { user } = session
  return { ...showNotice(service, request, pages.account, { email: user.email }), userId: user.id }
}

/** `POST /account`: changes the password; a new session replaces the old one, which somebody else may know. */
async function changePassword(service: Service, request: IncomingMessage): Promise<Reply> {
  const { auth, config } = service
  const form = await readForm(request)
  if (isOverHttp(config, request)) throw NEEDS_HTTPS
  const session = await sessionOf(service, request)
  if (session === null) return seeOther(TO_LOGIN, noticeCookie(config, 'session-ended'))
  const { user } = session
  try {
    const [password, newPassword] = [field(form, 'password', 401), field(form, 'new_password', 400)]
    const sessionId = await auth.changePassword(user.id, password, newPassword, clientOf(config, request))
    if (sessionId === null) throw new HttpError(401, 'the current password is wrong')
    const cookie = sessionCookie(config, sessionId, auth.options.sessionTtl)
    return { ...seeOther('/account', [cookie, noticeCookie(config, 'password-changed')]), userId: user.id }
  } catch (error) {
    if (request.socket.destroyed) throw error
    // Caught here, where it is known whose account the page shows.
    return { ...showError(service, pages.account, error, { email: user.email }), userId: user.id }
  }
}

/** `POST /forgot`: has a link sent; the page does not tell whether the email is known. */
async function forgot(service: Service, request: IncomingMessage): Promise<Reply> {
  const email = emailIn(await readForm(request), 400)
  service.webhook?.send(email)
  return show(service, pages.sent, 200, { email })
}

/** `GET /reset`: where the link in the mail leads. The token goes into a hidden field of the form, not a cookie. */
function showReset(service: Service, request: IncomingMessage): Reply {
  const query = queryOf(request)
  // A `+` that the link does not encode arrives as a space, which no email contains.
  const email = (query.get('email') ?? '').trim().replaceAll(' ', '+')
  return show(service, pages.reset, 200, { token: query.get('token') ?? '', email })
}

/** `POST /reset`: sets the password. A second click finds the token used, and succeeds if the password is right. */
async function reset({ auth, config }: Service, request: IncomingMessage): Promise<Reply> {
  const form = await readForm(request)
  const email = emailIn(form, 403)
  const [token, password] = [field(form, 'token', 403), field(form, 'new_password', 400)]
  const client = clientOf(config, request)
  const user = await auth.resetPassword(token, password, email, client)
  if (user === null && !(await auth.validLogin(email, password, client))) {
    throw new HttpError(403, 'this link has been used or has expired')
  }
  return seeOther('/login', noticeCookie(config, 'password-reset'))
}

/**
 * Shows a form that begins a session. A user who has a session is redirected, with its cookie set again: a cookie from
 * before COOKIE_DOMAIN was set reaches no app, and the app would send the browser back here forever.
 */
async function showForm(service: Service, request: IncomingMessage, page: Page): Promise<Reply> {
  const address = returnAddress(service, request)
  const session = await sessionOf(service, request)
  if (session !== null) {
    const secondsLeft = (session.user.session_expires_at ?? 0) - Math.floor(Date.now() / 1000)
    return seeOther(address, sessionCookie(service.config, session.sessionId, secondsLeft))
  }
  return showNotice(service, request, page, { returnTo: address })
}

/** Redirects a browser to its return address, with the new session's cookie; throws 401 if there is no session. */
function returnWith(sessionId: string | null, service: Service, request: IncomingMessage): Reply {
  if (sessionId === null) throw new HttpError(401, 'wrong email or password')
  const cookie = sessionCookie(service.config, sessionId, service.auth.options.sessionTtl)
  return seeOther(returnAddress(service, request), cookie)
}

/** Redirects a browser, which then sends a GET, whatever the method was (RFC 9110, section 15.4.4). */
function seeOther(location: string, cookies: string | string[] = []): Reply {
  return { status: 303, headers: { Location: location, 'Set-Cookie': cookies } }
}

/** True if the browser will drop a Secure cookie: one of our forms has come over plain http, from another machine. */
function isOverHttp({ cookieSecure, publicUrl }: Config, { headers: { origin = '', host } }: IncomingMessage): boolean {
  const isOurs = origin === `http://${host}` || origin === publicUrl?.replace(/^https/, 'http')
  return cookieSecure && isOurs && !OWN_HOST.test(cut(origin, '://')[1])
}

/** The address to return to: the form's, if it has been read and has one, otherwise the query's. */
function returnAddress({ config }: Service, request: IncomingMessage): string {
  return returnTo(config, formOf(request).get('rd') ?? queryOf(request).get('rd') ?? undefined)
}

function queryOf({ url = '' }: IncomingMessage): URLSearchParams {
  return new URLSearchParams(cut(url, '?')[1])
}

/** `field` for an email on a page, without the space that phone keyboards add after a word. */
function emailIn(form: Form, status: number): string {
  return field(form, 'email', status).trim()
}

/** Notices, by the path of the page that shows them and the cookie `notice`. */
const NOTICES = new Map([
  ['/account password-changed', 'Your password has been changed.'],
  ['/login password-reset', 'Your password has been changed. Log in with the new one.'],
  // Somebody else is logged in with this browser.
  ['/account password-reset', 'The password has been changed. To log in with it, log out here first.'],
  ['/login logged-out', 'You are logged out.'],
  ['/login session-ended', 'Your session had ended, so this form changed nothing. Log in and send it again.'],
])

/** A notice's cookie, for a minute. Only the reply to a form sets it, so no page of another site can cause a notice. */
function noticeCookie(config: Config, notice: string, maxAge = 60): string {
  return cookie(config, 'notice', notice, maxAge)
}

/** Shows a page; the first time after a form, it also says what that form did. */
function showNotice(service: Service, request: IncomingMessage, page: Page, state: Partial<State>): Reply {
  const notice = NOTICES.get(`${pathOf(request.url ?? '')} ${cookiesOf(request, 'notice')[0]}`)
  if (notice === undefined) return show(service, page, 200, state)
  return show(service, page, 200, { ...state, notice }, { 'Set-Cookie': noticeCookie(service.config, '', 0) })
}
