/** Limits how many passwords are hashed simultaneously, and queues the others fairly. */
import { availableParallelism } from 'node:os'
import { Overloaded } from './errors.ts'
import { type Client, networkOf } from './input.ts'

/** The queue counts as full when a new password's expected wait is longer than this. */
const MAX_WAIT_MS = 10_000

/** A waiting password: its turn, `enter`, which lets it be hashed, and `refuse`, which rejects it with a reason. */
type Waiting = { network: string; turn: number; enter: () => void; refuse: (reason: unknown) => void }

/**
 * Hashes as many passwords simultaneously as there are cores, and lets a bounded number wait. Networks take turns, so
 * that a client with many connections delays only itself; a full queue refuses the network that has the most in it.
 *
 * Hashing takes place on libuv's threads, which file access needs too: one thread is kept free for it, unless there is
 * only one.
 */
export class HashQueue {
  readonly #places: number
  #running = 0
  /** In the order of their turns; those with the same turn in the order in which they came. */
  readonly #waiting: Waiting[] = []
  /** The last turn in which a waiting password was hashed. */
  #turn = 0
  /** How long a hash takes: at first the expected time, then a running mean. */
  #durationMs: number

  /** @param expectedDurationMs about how long a hash takes */
  constructor(expectedDurationMs: number) {
    // libuv starts 4 threads if the variable is not set, and 1 if it is not a number.
    const threads = parseInt(process.env['UV_THREADPOOL_SIZE'] ?? '4') || 1
    this.#places = Math.max(1, Math.min(availableParallelism(), threads - 1))
    this.#durationMs = expectedDurationMs
  }

  /** True while a task runs. */
  get isRunning(): boolean {
    return this.#running > 0
  }

  /**
   * Runs a task when its turn has come. The signal counts only until then: a hash that has begun cannot be stopped, and
   * keeps its thread until it ends.
   * @throws {Overloaded} when the task would wait too long, or has to make room for another network's
   * @throws the signal's reason, when it aborts while the task waits
   */
  async run<T>({ address = '', signal }: Client, task: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted()
    if (this.#running < this.#places) this.#running++
    else await this.#wait(networkOf(address), signal)
    const start = performance.now()
    try {
      const result = await task()
      // Not in `finally`: a task that throws has hashed nothing.
      this.#durationMs += (performance.now() - start - this.#durationMs) / 10
      return result
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else {
        this.#turn = next.turn
        next.enter()
      }
    }
  }

  async #wait(network: string, signal: AbortSignal | undefined): Promise<void> {
    // A network has one password in each turn. Counted from its last, so that to leave and come again gains nothing.
    const last = this.#waiting.findLast((other) => other.network === network)
    const turn = Math.max(this.#turn, last?.turn ?? 0) + 1
    this.#makeRoom(turn)
    let abort = () => {}
    try {
      await new Promise<void>((enter, refuse) => {
        const waiting = { network, turn, enter, refuse }
        this.#waiting.splice(this.#waiting.findLastIndex((other) => other.turn <= turn) + 1, 0, waiting)
        abort = () => {
          const place = this.#waiting.indexOf(waiting)
          if (place >= 0) this.#waiting.splice(place, 1)
          refuse(signal?.reason)
        }
        signal?.addEventListener('abort', abort)
      })
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /** In a full queue, refuses the password with the last turn; throws if that is the new one. */
  #makeRoom(turn: number): void {
    const waitMs = (this.#waiting.length / this.#places) * this.#durationMs
    if (waitMs <= MAX_WAIT_MS) return
    const overloaded = new Overloaded('too many passwords are waiting to be checked', Math.ceil(waitMs / 1000))
    const last = this.#waiting.at(-1)
    if (last === undefined || last.turn <= turn) throw overloaded
    this.#waiting.pop()
    last.refuse(overloaded)
  }
}
