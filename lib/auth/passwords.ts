/**
 * All that calls bcrypt. Another algorithm changes this file, and gives the option `bcryptCost` another meaning and other
 * bounds (options.ts).
 */
import { hash, parseOptions, verify } from '@node-rs/bcrypt'

/** The most bytes of UTF-8 that bcrypt reads. */
const MAX_BYTES = 72

/** Hashes passwords and checks them. Each call keeps a thread of libuv's pool busy; `HashQueue` says when there is one. */
export class Passwords {
  readonly #cost: number
  /** A hash at this cost that no password matches, for emails that are unknown. */
  readonly #nobodysHash: string

  /** @param cost bcrypt's work factor: each step doubles the time of a hash */
  constructor(cost: number) {
    this.#cost = cost
    this.#nobodysHash = `$2b$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}`
  }

  /** About how long a hash takes, in milliseconds: a guess, for as long as none has been measured. */
  get expectedDuration(): number {
    return 250 * 2 ** (this.#cost - 12)
  }

  /** A salted hash, `$2b$12$…`, of a password in which `flawOf` finds no flaw. */
  hash(password: string): Promise<string> {
    return hash(password, { cost: this.#cost, rejectLongPasswords: true })
  }

  /**
   * Tells whether a password is the one that was hashed. Without a hash, as for an unknown email, it is not, but the answer
   * takes as long, so that its time does not tell who is registered (OWASP, Authentication Cheat Sheet, "Authentication
   * Responses").
   */
  async verify(password: string, hashed = this.#nobodysHash): Promise<boolean> {
    const matches = await verify(password, hashed)
    return matches && flawOf(password) === null
  }

  /** Tells whether a hash, one that `verify` has matched, was made at another cost than this one. */
  isOutdated(hashed: string): boolean {
    return parseOptions(hashed).cost !== this.#cost
  }
}

/**
 * What keeps a password from being hashed, as the rest of a sentence about it; `null`: nothing. bcrypt would take it for
 * another password: it reads 72 bytes (OWASP, Password Storage Cheat Sheet), repeats a shorter one with a NUL in between,
 * so that "x" is "x\0x" as well, and takes each lone surrogate for U+FFFD.
 */
export function flawOf(password: string): string | null {
  if (Buffer.byteLength(password) > MAX_BYTES) return `is longer than ${MAX_BYTES} bytes`
  if (password.includes('\0')) return 'contains a NUL character'
  return password.isWellFormed() ? null : 'is not well-formed Unicode'
}
