/**
 * The only file that calls bcrypt. Another algorithm changes this file, and gives the option `bcryptCost` another
 * meaning and other bounds (options.ts).
 */
import { hash, parseOptions, verify } from '@node-rs/bcrypt'

/** The most bytes of UTF-8 that bcrypt reads. */
const MAX_BYTES = 72

/** The hashes that `verify` can match. */
export const BCRYPT_HASH =
  /^\$2[abxy]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]$/

/**
 * Hashes passwords and checks them. Each call keeps a thread of libuv's pool busy; `HashQueue` says when there is one.
 */
export class Passwords {
  readonly #cost: number
  /** A hash at this cost that no password matches, for emails that are unknown. */
  readonly #nobodysHash: string

  /** @param cost bcrypt's work factor: each step doubles the time of a hash */
  constructor(cost: number) {
    this.#cost = cost
    this.#nobodysHash = `$2b$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}`
  }

  /** About how long a hash takes: a guess, for as long as none has been measured. */
  get expectedDurationMs(): number {
    return 250 * 2 ** (this.#cost - 12)
  }

  /** A salted hash, `$2b$12$…`, of a password in whose NFC form `flawOf` finds no flaw. */
  hash(password: string): Promise<string> {
    return hash(toNfc(password), { cost: this.#cost, rejectLongPasswords: true })
  }

  /**
   * Compares a password with a hash; `outdated` is right too, but its cost or its form of the password is not what
   * `hash` uses now. Older hashes are of passwords as they were typed, so that is tried as well where it differs.
   * Without a hash, as for an unknown email, the answer is `wrong` and takes as long, so that its time does not tell
   * who is registered (OWASP, Authentication Cheat Sheet, "Authentication Responses").
   */
  async verify(password: string, hashed = this.#nobodysHash): Promise<'right' | 'outdated' | 'wrong'> {
    const nfc = toNfc(password)
    for (const form of new Set([nfc, password])) {
      if (!(await verify(form, hashed)) || flawOf(form) !== null) continue
      const isBest = form === nfc && parseOptions(hashed).cost === this.#cost
      return isBest || flawOf(nfc) !== null ? 'right' : 'outdated'
    }
    return 'wrong'
  }
}

/**
 * The form in which a password is hashed, as systems encode the same letter in different ways, macOS unlike Windows
 * (RFC 8265, section 4.2.2). NFC takes quadratic time for some texts, and leaves at least a third of their bytes: a
 * text that would be too long in any form stays as it is.
 */
export function toNfc(password: string): string {
  return Buffer.byteLength(password) > 3 * MAX_BYTES ? password : password.normalize('NFC')
}

/**
 * Why bcrypt would confuse a text with another, as the rest of a sentence about it, or `null`: it reads only 72 bytes
 * (OWASP, Password Storage Cheat Sheet), repeats a shorter text with a NUL in between, so that "x" is "x\0x" as well,
 * and takes each lone surrogate for U+FFFD. A new password with a flaw is refused (`checkNewPassword`; 400 over HTTP),
 * and at a login it is just wrong (`verify`; 401).
 */
export function flawOf(text: string): string | null {
  if (Buffer.byteLength(text) > MAX_BYTES) return `is longer than ${MAX_BYTES} bytes`
  if (text.includes('\0')) return 'contains a NUL character'
  return text.isWellFormed() ? null : 'is not well-formed Unicode'
}
