/** Recent failures, counted by key. */
import { hash } from 'node:crypto'

/** How many failures make a generation. Only two generations are kept, which bounds the memory for any number of keys. */
const GENERATION = 50_000

/** Counts failures by key, over a sliding window of time and in bounded memory. */
export class FailureWindow {
  readonly #limit: number
  readonly #duration: number
  /** The times of the latest failures by key, in this generation and in the one before, which is dropped as a whole. */
  #times = new Map<string, number[]>()
  #before = new Map<string, number[]>()
  #added = 0

  /**
   * @param limit how many failures a key may have; 0: any number
   * @param duration for how long a failure counts, in milliseconds
   */
  constructor(limit: number, duration: number) {
    this.#limit = limit
    this.#duration = duration
  }

  /** Milliseconds until the key may try again; 0 or less: it may now. */
  waitOf(key: string): number {
    const oldest = this.#limit === 0 ? undefined : this.#timesOf(digest(key)).at(-this.#limit)
    return oldest === undefined ? 0 : oldest + this.#duration - performance.now()
  }

  /** Counts a failure. */
  add(key: string): void {
    if (this.#limit === 0) return
    const id = digest(key)
    // Not Date.now(): the clock may be set back.
    this.#times.set(id, [...this.#timesOf(id), performance.now()].slice(-this.#limit))
    if (++this.#added % GENERATION > 0) return
    this.#before = this.#times
    this.#times = new Map()
  }

  /** Forgets the failures of a key. */
  clear(key: string): void {
    this.#times.delete(digest(key))
    this.#before.delete(digest(key))
  }

  /** The times of a key's latest failures, the oldest first. */
  #timesOf(id: string): number[] {
    return this.#times.get(id) ?? this.#before.get(id) ?? []
  }
}

/** A short string in place of a key, which may be long, or a slice that keeps a whole request in memory. */
function digest(key: string): string {
  return hash('sha256', key, 'base64')
}
