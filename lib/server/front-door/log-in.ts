/** `/login`, `/register` and `/logout`: how a session begins and ends in a browser. */
import type { IncomingMessage } from 'node:http'
import { field } from '../form.ts'
import { EmailTaken } from '../../../auth.ts'
import { clientOf } from '../head.ts'
import { checkRegistration } from '../registration.ts'
import { failAs, HttpError, type Reply } from '../service.ts'
import { endSessions, sessionCookie, userOf } from '../session.ts'
import { backOf, carried, type Door, emailIn, seeOther, submit } from './door.ts'
import { noticeOn } from './notice.ts'
import type { Page } from './page.ts'

/** `GET /login`. */
export function showLogin(door: Door, request: IncomingMessage): Promise<Reply> {
  return showForm(door, request, door.pages.login)
}

/** `POST /login`: begins a session, and leads back. */
export function logIn(door: Door, request: IncomingMessage): Promise<Reply> {
  const { auth, config, pages } = door
  return submit(door, request, pages.login, async (form) => {
    const email = field(form, 'email', 401).trim()
    const sessionId = await auth.logIn(email, field(form, 'password', 401), clientOf(config, request))
    return welcomeBack(door, backOf(door, request, form), sessionId)
  })
}

/** `GET /register`. */
export function showRegister(door: Door, request: IncomingMessage): Promise<Reply> {
  checkRegistration(door.config, request)
  return showForm(door, request, door.pages.register)
}

/** `POST /register`: registers a user and begins a session. */
export function register(door: Door, request: IncomingMessage): Promise<Reply> {
  const { auth, config, pages } = door
  return submit(door, request, pages.register, async (form) => {
    checkRegistration(config, request)
    const email = emailIn(form)
    await auth
      .registerUser(email, field(form, 'password', 400), clientOf(config, request))
      .catch(failAs(EmailTaken, 400, 'this email is registered already: log in, or take another'))
    return welcomeBack(door, backOf(door, request, form), await auth.createSession(email))
  })
}

/** `POST /logout`: ends the session, if there is one. */
export async function logOut({ auth, config }: Door, request: IncomingMessage): Promise<Reply> {
  await endSessions(auth, request)
  return seeOther('/login', { 'Set-Cookie': sessionCookie(config, '', 0) })
}

/** Shows a form that begins a session; a user who has one already is sent on at once. */
async function showForm(door: Door, request: IncomingMessage, page: Page): Promise<Reply> {
  const back = backOf(door, request)
  if ((await userOf(door.auth, request)) !== null) return seeOther(back)
  return page(200, { rd: carried(back), notice: noticeOn('/login', door.config, request) })
}

/** Leads back with the new session. */
function welcomeBack({ config }: Door, back: string, sessionId: string | null): Reply {
  if (sessionId === null) throw new HttpError(401, 'wrong email or password')
  return seeOther(back, { 'Set-Cookie': sessionCookie(config, sessionId, config.auth.sessionTtl) })
}
