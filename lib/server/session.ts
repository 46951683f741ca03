/** The session's cookie, whose session a request carries, and what an app is told of it. */
import type { IncomingMessage } from 'node:http'
import type { User } from '../../auth.ts'
import type { Config } from './config.ts'
import { HttpError, type ReplyHeaders, type Service } from './service.ts'

/** The session's cookie (RFC 6265, section 4.1): out of reach for scripts, and not sent along with other sites' forms. */
export function sessionCookie(
  { cookieName, cookieSecure, cookieDomain }: Config,
  sessionId: string,
  maxAge: number,
): string {
  const secure = cookieSecure ? '; Secure' : ''
  const domain = cookieDomain === null ? '' : `; Domain=${cookieDomain}`
  return `${cookieName}=${sessionId}; HttpOnly; Path=/; SameSite=Lax; Max-Age=${maxAge}${secure}${domain}`
}

/** At most this many cookies with the session's name are tried: each costs a search. */
const MOST_COOKIES = 8

/** A pattern for each name in use: just one, unless a program has several services. */
const patterns = new Map<string, RegExp>()

/** Finds the cookies of a name, with nothing but spaces and tabs around it: `\u2000__Host-id` is another, which any page can set. */
function patternOf(name: string): RegExp {
  const pattern = patterns.get(name) ?? new RegExp(`(?:^|;)[ \\t]*${name.replace(/\W/g, '\\$&')}[ \\t]*=([^;]*)`, 'g')
  patterns.set(name, pattern)
  return pattern
}

/** The values, without quotes, of the cookies that have the session's name (RFC 6265, sections 4.1.1 and 5.4). */
export function sessionIdsOf({ cookieName }: Config, { headers: { cookie = '' } }: IncomingMessage): string[] {
  const ids: string[] = []
  const pattern = patternOf(cookieName)
  pattern.lastIndex = 0
  for (let found; ids.length < MOST_COOKIES && (found = pattern.exec(cookie)) !== null;) {
    const value = found[1]?.trim() ?? ''
    ids.push(value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value)
  }
  return ids
}

/**
 * The first live session among a request's cookies, or `null`. There may be several cookies of the name: one set by this host,
 * one by its domain, one that an app below the domain has planted.
 */
export async function sessionOf(
  { auth, config }: Service,
  request: IncomingMessage,
): Promise<{ sessionId: string; user: User } | null> {
  for (const sessionId of sessionIdsOf(config, request)) {
    const user = await auth.getUserFromSessionId(sessionId)
    if (user !== null) return { sessionId, user }
  }
  return null
}

/** The user whose session `sessionOf` finds, or `null`. */
export async function userOf(service: Service, request: IncomingMessage): Promise<User | null> {
  return (await sessionOf(service, request))?.user ?? null
}

/** Ends every live session among a request's cookies; returns the user of the first, or `null`. */
export async function endSessions({ auth, config }: Service, request: IncomingMessage): Promise<User | null> {
  let first: User | null = null
  for (const sessionId of sessionIdsOf(config, request)) {
    const user = await auth.logOut(sessionId)
    first ??= user
  }
  return first
}

/** The refusal of a request without a live session. */
export function noSession(config: Config, request: IncomingMessage): HttpError {
  const hasCookie = sessionIdsOf(config, request).length > 0
  return new HttpError(
    403,
    hasCookie ? 'unknown or expired session: log in again' : `no ${config.cookieName} cookie: log in first`,
  )
}

/** The headers that tell an app who is logged in. Percent-encoded where a header cannot hold it: an email may be Unicode. */
export function identityOf({ id, email }: User): ReplyHeaders {
  return { 'Remote-User': `${id}`, 'Remote-Email': encodeURI(email.toWellFormed()) }
}
