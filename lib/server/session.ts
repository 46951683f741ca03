/** Cookies, the session that a request carries, and what an app is told about its user. */
import type { IncomingMessage } from 'node:http'
import type { Session, User } from '../../auth.ts'
import type { Config } from './config.ts'
import { HttpError, type Reply, type Service } from './service.ts'

/** A cookie for `maxAge` seconds (RFC 6265, section 4.1), hidden from scripts and not sent with other sites' forms. */
export function cookie({ cookieSecure }: Config, name: string, value: string, maxAge: number): string {
  return `${name}=${value}; HttpOnly; Path=/; SameSite=Lax; Max-Age=${maxAge}${cookieSecure ? '; Secure' : ''}`
}

/** The session's cookie; with COOKIE_DOMAIN, apps below the domain get it too. */
export function sessionCookie(config: Config, sessionId: string, maxAge: number): string {
  const domain = config.cookieDomain === null ? '' : `; Domain=${config.cookieDomain}`
  return `${cookie(config, config.cookieName, sessionId, maxAge)}${domain}`
}

/** At most this many cookies of a name count, because each session ID costs a search. */
const MAX_COOKIES = 8
/**
 * A cookie (RFC 6265, section 4.1.1), without the spaces and tabs around its name. Other white space is part of the
 * name: browsers let any app below the domain set `\u2000__Host-id`, which must not pass for `__Host-id`.
 */
const COOKIE = /(?:^|;)[ \t]*([^=; \t]+)[ \t]*=([^;]*)/g

/** The values, without quotes, of the cookies with this name in a request. */
export function cookiesOf({ headers: { cookie = '' } }: IncomingMessage, name: string): string[] {
  const values: string[] = []
  for (let found; (found = COOKIE.exec(cookie)) !== null;) {
    if (found[1] !== name) continue
    const value = found[2]?.trim() ?? ''
    values.push(/^".*"$/.test(value) ? value.slice(1, -1) : value)
  }
  return values.slice(0, MAX_COOKIES)
}

/** The first live session among a request's cookies, some of which an app may have planted; `null` if none is live. */
export async function sessionOf({ auth, config }: Service, request: IncomingMessage): Promise<Session | null> {
  for (const sessionId of cookiesOf(request, config.cookieName)) {
    const user = await auth.getUserFromSessionId(sessionId)
    if (user !== null) return { sessionId, user }
  }
  return null
}

/** Ends every live session among a request's cookies; returns the user of the first, or `null`. */
export async function endSessions({ auth, config }: Service, request: IncomingMessage): Promise<User | null> {
  let first: User | null = null
  for (const sessionId of cookiesOf(request, config.cookieName)) {
    const user = await auth.logOut(sessionId)
    first ??= user
  }
  return first
}

/** The refusal of a request without a live session. */
export function noSession(config: Config, request: IncomingMessage): HttpError {
  const hasCookie = cookiesOf(request, config.cookieName).length > 0
  const missing = `no ${config.cookieName} cookie: log in first`
  return new HttpError(403, hasCookie ? 'unknown or expired session: log in again' : missing)
}

/** Says who is logged in: in the body to a client, in headers, which have to be ASCII, to an app behind a proxy. */
export function replyWithUser({ id, email }: User): Reply {
  const headers = { 'Remote-User': `${id}`, 'Remote-Email': encodeURI(email) }
  return { status: 200, body: { email }, headers, userId: id }
}
