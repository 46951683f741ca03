/** The session's cookie, whose session a request carries, and what an app is told of it. */
import type { IncomingMessage } from 'node:http'
import type { Auth, User } from '../../auth.ts'
import type { Config } from './config.ts'
import { HttpError, type ReplyHeaders } from './service.ts'

/** The session's cookie (RFC 6265, section 4.1): out of reach for scripts, and not sent along with other sites' forms. */
export function sessionCookie({ cookieSecure, cookieDomain }: Config, sessionId: string, maxAge: number): string {
  const secure = cookieSecure ? '; Secure' : ''
  const domain = cookieDomain === null ? '' : `; Domain=${cookieDomain}`
  return `session_id=${sessionId}; HttpOnly; Path=/; SameSite=Lax; Max-Age=${maxAge}${secure}${domain}`
}

/** How many cookies of the session's name count. */
const MOST_COOKIES = 8
const SESSION_COOKIE = /(?:^|;)[ \t]*session_id[ \t]*=([^;]*)/g

/** The values, without quotes, of the cookies that are named `session_id` (RFC 6265, sections 4.1.1 and 5.4). */
export function sessionIdsOf({ headers: { cookie = '' } }: IncomingMessage): string[] {
  const ids: string[] = []
  SESSION_COOKIE.lastIndex = 0
  for (let found; ids.length < MOST_COOKIES && (found = SESSION_COOKIE.exec(cookie)) !== null;) {
    const value = found[1]?.trim() ?? ''
    ids.push(value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value)
  }
  return ids
}

/**
 * The user of the first live session among a request's cookies, or `null`. There may be several cookies of the name: one set
 * by this host, one by its domain, one that an app below the domain has planted.
 */
export async function userOf(auth: Auth, request: IncomingMessage): Promise<User | null> {
  for (const sessionId of sessionIdsOf(request)) {
    const user = await auth.getUserFromSessionId(sessionId)
    if (user !== null) return user
  }
  return null
}

/** Ends every live session among a request's cookies; returns the user of the first, or `null`. */
export async function endSessions(auth: Auth, request: IncomingMessage): Promise<User | null> {
  let first: User | null = null
  for (const sessionId of sessionIdsOf(request)) {
    const user = await auth.getUserFromSessionId(sessionId)
    if (user === null) continue
    await auth.destroySession(user.id)
    first ??= user
  }
  return first
}

/** The refusal of a request without a live session. */
export function noSession(request: IncomingMessage): HttpError {
  const hasCookie = sessionIdsOf(request).length > 0
  return new HttpError(
    403,
    hasCookie ? 'unknown or expired session: log in again' : 'no session_id cookie: log in first',
  )
}

/** The headers that tell an app who is logged in. Percent-encoded where a header cannot hold it: an email may be Unicode. */
export function identityOf({ id, email }: User): ReplyHeaders {
  return { 'Remote-User': `${id}`, 'Remote-Email': encodeURI(email.toWellFormed()) }
}
