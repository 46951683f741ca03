/** Whose session a request carries, and what an app is told of it. */
import type { IncomingMessage } from 'node:http'
import type { Service } from '../../server.ts'
import type { User } from '../../user.ts'
import { sessionIdsOf } from './head.ts'
import { HttpError } from './http-error.ts'

/**
 * The user of the first live session among a request's cookies, or `null`. There may be several cookies of the name: one set
 * by this host, one by its domain, one that an app below the domain has planted.
 */
export async function userOf(auth: Service['auth'], request: IncomingMessage): Promise<User | null> {
  for (const sessionId of sessionIdsOf(request)) {
    const user = await auth.getUserFromSessionId(sessionId)
    if (user !== null) return user
  }
  return null
}

/** Ends every live session among a request's cookies; returns the user of the first, or `null`. */
export async function endSessions(auth: Service['auth'], request: IncomingMessage): Promise<User | null> {
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
export function identityOf({ id, email }: User): string[] {
  return ['Remote-User', `${id}`, 'Remote-Email', encodeURI(email.toWellFormed())]
}
