/**
 * The only file that calls bcrypt, which the exercise asks for (task 4); OWASP prefers Argon2id for new services. To use
 * another algorithm, change this file, and the meaning and bounds of the option `bcryptCost` (options.ts).
 */
import { hash, parseOptions, verify } from '@node-rs/bcrypt'

/** The most bytes of UTF-8 that bcrypt reads. */
const MAX_BYTES = 72

/** The hashes that `verify` can match. */
export const BCRYPT_HASH =
  /^\$2[abxy]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]$/

/** Hashes and checks passwords. Each call keeps one of libuv's threads busy; `HashQueue` waits until one is free. */
export class Passwords {
  readonly #cost: number
  /** A hash at this cost that no password matches, for unknown emails. */
  readonly #nobodysHash: string

  /** @param cost bcrypt's work factor: each step doubles the time of a hash */
  constructor(cost: number) {
    this.#cost = cost
    this.#nobodysHash = `$2b$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}`
  }

  /** About how long a hash takes: a guess from the cost, with which `HashQueue` begins. */
  get expectedDurationMs(): number {
    return 250 * 2 ** (this.#cost - 12)
  }

  /** A salted hash, `$2b$12$…`. The caller has made sure that `flawOf` finds no flaw in the password's NFC form. */
  hash(password: string): Promise<string> {
    return hash(toNfc(password), { cost: this.#cost, rejectLongPasswords: true })
  }

  /**
   * Compares a password with a hash. `outdated` is a right password whose hash should be replaced: it has another cost,
   * or was made from the password as typed instead of its NFC form (both are tried). Without a bcrypt hash, as for an
   * unknown email, the answer is `wrong` and takes as long, so its time does not tell who is registered (OWASP,
   * Authentication Cheat Sheet, "Authentication Responses").
   */
  async verify(password: string, stored = ''): Promise<'right' | 'outdated' | 'wrong'> {
    const hashed = BCRYPT_HASH.test(stored) ? stored : this.#nobodysHash
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
 * The form in which a password is hashed, because macOS and Windows may encode the same letter differently (RFC 8265,
 * section 4.2.2). NFC takes quadratic time for some texts. It never shrinks a text to less than a third of its bytes,
 * so a text over three times the limit stays too long, and is returned unchanged.
 */
export function toNfc(password: string): string {
  return Buffer.byteLength(password) > 3 * MAX_BYTES ? password : password.normalize('NFC')
}

/**
 * Why bcrypt would confuse a text with another, such as "is longer than 72 bytes"; `null` if it would not. bcrypt reads
 * only 72 bytes (OWASP, Password Storage Cheat Sheet). It repeats a shorter text with a NUL in between, so that
 * "x" equals "x\0x". Each lone surrogate becomes U+FFFD.
 */
export function flawOf(text: string): string | null {
  if (Buffer.byteLength(text) > MAX_BYTES) return `is longer than ${MAX_BYTES} bytes`
  if (text.includes('\0')) return 'contains a NUL character'
  return text.isWellFormed() ? null : 'is not well-formed Unicode'
}
