/** What the store keeps of session IDs and reset tokens. */
import { hash } from 'node:crypto'

/** How many digests of session IDs are kept in memory. */
const MOST_KEPT = 10_000

/** The SHA-256 digest of a token. Unlike for a password, a fast hash is enough: nobody can try 2^122 tokens. */
export function digest(token: string): string {
  return hash('sha256', token)
}

/**
 * Digests of sessions that were found lately. A client sends the same ID again and again, and hashing it each time costs a
 * twentieth of a GET /profile. Only sessions that exist are kept, so that made-up IDs take no place.
 */
export class SessionDigests {
  readonly #kept = new Map<string, string>()

  /** The digest of a session ID. */
  of(sessionId: string): string {
    return this.#kept.get(sessionId) ?? digest(sessionId)
  }

  /** Keeps the digest of a session that was found. */
  keep(sessionId: string, digest: string): void {
    if (this.#kept.has(sessionId)) return
    if (this.#kept.size === MOST_KEPT) this.#kept.clear()
    // A copy: part of a string keeps all of it in memory, here a whole Cookie header.
    this.#kept.set(Buffer.from(sessionId).toString(), digest)
  }
}
