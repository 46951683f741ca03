/** As many hashes at once as there are cores, and a bounded queue. */
import { availableParallelism } from 'node:os'
import { Overloaded } from './errors.ts'

/** How long a password may have to wait for its turn, in milliseconds. */
const LONGEST_WAIT = 10_000

/**
 * Lets as many passwords be hashed at once as there are cores, and a bounded number wait. Hashing takes place on libuv's
 * threads, which the file system needs too: one of them is always left to it.
 */
export class HashQueue {
  readonly #places = Math.min(availableParallelism(), Number(process.env['UV_THREADPOOL_SIZE'] || 4) - 1) || 1
  readonly #waiting = new Set<() => void>()
  #running = 0
  /** What a hash takes, in milliseconds: at first what is expected, then a running mean. */
  #duration: number

  /** @param expectedDuration about how long a hash takes, in milliseconds */
  constructor(expectedDuration: number) {
    this.#duration = expectedDuration
  }

  /**
   * Runs a task when its turn has come.
   * @throws {Overloaded} at once, when it would have to wait too long
   * @throws the signal's reason, when that aborts while the task waits
   */
  async run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    if (this.#running >= this.#places) await this.#wait(signal)
    else this.#running++
    const start = performance.now()
    try {
      return await task()
    } finally {
      this.#duration += (performance.now() - start - this.#duration) / 10
      // The place goes to the one that has waited longest, or is free again.
      const [next] = this.#waiting
      if (next === undefined) this.#running--
      else next()
    }
  }

  /** Resolves when a place is free. */
  #wait(signal: AbortSignal | undefined): Promise<void> {
    const wait = (this.#waiting.size / this.#places) * this.#duration
    if (wait > LONGEST_WAIT) throw new Overloaded('too many passwords to check', Math.ceil(wait / 1000))
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting.delete(enter)
        reject(signal?.reason)
      }
      const enter = () => {
        this.#waiting.delete(enter)
        signal?.removeEventListener('abort', leave)
        resolve()
      }
      this.#waiting.add(enter)
      signal?.addEventListener('abort', leave, { once: true })
    })
  }
}
