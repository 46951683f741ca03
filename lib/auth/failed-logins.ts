/** How many tries an address has left. */
import { TooManyFailures } from './errors.ts'

/** For how long a failed login counts, in milliseconds. */
const WINDOW = 10 * 60 * 1000
/** After how many failures what was remembered before them is forgotten: any number of addresses needs no more memory. */
const GENERATION = 50_000

/**
 * Counts failed logins per address (OWASP, Authentication Cheat Sheet, "Login Throttling"). A success does not take anything
 * back, or a guesser could log in to an account of his own in between.
 */
export class FailedLogins {
  readonly #limit: number
  /** The times of the latest failures by address: this generation's, and the one's before, which is dropped as a whole. */
  #times = new Map<string, number[]>()
  #before = new Map<string, number[]>()
  #added = 0

  /** `limit` is how many failures an address may have; 0: any number. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Throws `TooManyFailures` while the address has no try left. */
  check(address: string): void {
    const oldest = this.#of(networkOf(address)).at(-this.#limit)
    if (this.#limit === 0 || oldest === undefined) return
    const wait = oldest + WINDOW - Date.now()
    if (wait > 0) throw new TooManyFailures('too many failed logins from your address', Math.ceil(wait / 1000))
  }

  /** Remembers a failure. */
  add(address: string): void {
    if (this.#limit === 0) return
    const network = networkOf(address)
    this.#times.set(network, [...this.#of(network), Date.now()].slice(-this.#limit))
    if (++this.#added % GENERATION > 0) return
    this.#before = this.#times
    this.#times = new Map()
  }

  /** The times of an address's latest failures, the oldest first. */
  #of(network: string): number[] {
    return this.#times.get(network) ?? this.#before.get(network) ?? []
  }
}

/** What one client has to itself: an IPv4 address, or the /64 of an IPv6 address, all of which is one subscriber's. */
function networkOf(address: string): string {
  const v4 = /^(?:::ffff:)?(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (v4 !== undefined || !address.includes(':')) return v4 ?? address
  const [head = [], tail = []] = address.split('::').map((part) => part.split(':').filter(Boolean))
  const zeros = Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => '0')
  return [...head, ...zeros, ...tail]
    .slice(0, 4)
    .map((group) => parseInt(group, 16).toString(16))
    .join(':')
}
