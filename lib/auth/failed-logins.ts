/** How many tries a client and an account have left. */
import { hash } from 'node:crypto'
import { emailKey } from '../../user.ts'
import { TooManyFailures } from './errors.ts'
import { networkOf } from './input.ts'

const MINUTE_MS = 60_000
/** How many failures make a generation. Only the last two generations are kept, which bounds the memory. */
const GENERATION_FAILURES = 50_000

/**
 * Counts failed logins per client address (OWASP, Authentication Cheat Sheet, "Login Throttling") and per account,
 * because an attacker has many addresses (NIST SP 800-63B, "Rate Limiting"). A success does not reset the count;
 * otherwise a guesser could log in to their own account between guesses. An unknown email is an account like any other
 * here, so that a refusal does not tell who is registered.
 */
export class FailedLogins {
  readonly #ofNetworks: FailureWindow
  readonly #ofAccounts: FailureWindow

  /** Each option is how many failures are allowed; 0 allows any number. */
  constructor({ loginFailures, accountFailures }: { loginFailures: number; accountFailures: number }) {
    this.#ofNetworks = new FailureWindow(loginFailures, 10 * MINUTE_MS)
    this.#ofAccounts = new FailureWindow(accountFailures, 60 * MINUTE_MS)
  }

  /** Throws `TooManyFailures` while the account, or the address if it is known, has no try left. */
  check(email: string, address: string | undefined): void {
    if (address !== undefined) {
      refuseFor(this.#ofNetworks.waitOf(networkOf(address)), 'too many failed logins from your address')
    }
    refuseFor(
      this.#ofAccounts.waitOf(emailKey(email)),
      'too many failed logins with this email: wait, or reset the password',
    )
  }

  /** Counts a failed login against the address and the account. */
  add(email: string, address: string | undefined): void {
    if (address !== undefined) this.#ofNetworks.add(networkOf(address))
    this.#ofAccounts.add(emailKey(email))
  }

  /** Gives an account all its tries back, once its owner has proved who they are. */
  clear(email: string): void {
    this.#ofAccounts.clear(emailKey(email))
  }
}

function refuseFor(waitMs: number, message: string): void {
  if (waitMs > 0) throw new TooManyFailures(message, Math.ceil(waitMs / 1000))
}

/** Failures by key, over a sliding window of time and in bounded memory. */
export class FailureWindow {
  readonly #limit: number
  readonly #durationMs: number
  /** The times of the latest failures by key, in this generation and the one before, which is dropped as a whole. */
  #times = new Map<string, number[]>()
  #before = new Map<string, number[]>()
  #added = 0

  /** Allows a key this many failures (0: any number) in a window of this length. */
  constructor(limit: number, durationMs: number) {
    this.#limit = limit
    this.#durationMs = durationMs
  }

  /** Milliseconds until the key may try again; 0 or less if it may now. */
  waitOf(key: string): number {
    const oldest = this.#limit === 0 ? undefined : this.#timesOf(shortKey(key)).at(-this.#limit)
    return oldest === undefined ? 0 : oldest + this.#durationMs - performance.now()
  }

  /** Counts a failure; it replaces the key's oldest if the key has reached the limit. */
  add(key: string): void {
    if (this.#limit === 0) return
    const short = shortKey(key)
    // Not Date.now(): the clock may be set back.
    this.#times.set(short, [...this.#timesOf(short), performance.now()].slice(-this.#limit))
    if (++this.#added % GENERATION_FAILURES > 0) return
    this.#before = this.#times
    this.#times = new Map()
  }

  /** Forgets the failures of a key. */
  clear(key: string): void {
    this.#times.delete(shortKey(key))
    this.#before.delete(shortKey(key))
  }

  #timesOf(short: string): number[] {
    return this.#times.get(short) ?? this.#before.get(short) ?? []
  }
}

/** A digest of a key: the key itself may be long, or a slice that would keep a whole request in memory. */
function shortKey(key: string): string {
  return hash('sha256', key, 'base64')
}
