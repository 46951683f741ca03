/** Limits how many passwords are hashed simultaneously, and queues the others fairly. */
import { availableParallelism } from 'node:os'
import { Overloaded } from './errors.ts'
import { type Client, networkOf } from './input.ts'

/** The queue counts as full when a new password's expected wait is longer than this. */
const MAX_WAIT_MS = 10_000

/** A waiting password: `enter` lets it be hashed, `refuse` rejects it with a reason. */
type Waiting = { enter: () => void; refuse: (reason: unknown) => void }

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
  /** Waiting passwords, in a lane for each network, oldest first. The first lane's turn is next; none is empty. */
  readonly #lanes = new Map<string, Set<Waiting>>()
  #waiting = 0
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
      const next = this.#next()
      if (next === undefined) this.#running--
      else next.enter()
    }
  }

  async #wait(network: string, signal: AbortSignal | undefined): Promise<void> {
    this.#refuseIfFull(network)
    let abort = () => {}
    try {
      await new Promise<void>((enter, refuse) => {
        const waiting = { enter, refuse }
        const lane = this.#lanes.get(network) ?? new Set()
        this.#lanes.set(network, lane.add(waiting))
        this.#waiting++
        abort = () => {
          this.#leave(network, waiting)
          refuse(signal?.reason)
        }
        signal?.addEventListener('abort', abort)
      })
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /** In a full queue, refuses the newest in the longest lane; throws if this network's lane would be the longest. */
  #refuseIfFull(network: string): void {
    const waitMs = (this.#waiting / this.#places) * this.#durationMs
    if (waitMs <= MAX_WAIT_MS) return
    const overloaded = new Overloaded('too many passwords are waiting to be checked', Math.ceil(waitMs / 1000))
    const [longest, lane] = [...this.#lanes].reduce((a, b) => (b[1].size > a[1].size ? b : a))
    const own = this.#lanes.get(network)?.size ?? 0
    const newest = [...lane].at(-1)
    if (newest === undefined || lane.size <= own + 1) throw overloaded
    this.#leave(longest, newest)
    newest.refuse(overloaded)
  }

  #next(): Waiting | undefined {
    const [[network, lane] = []] = this.#lanes
    const [next] = lane ?? []
    if (network === undefined || lane === undefined || next === undefined) return undefined
    this.#leave(network, next)
    // A network with more passwords waiting goes to the back of the line.
    if (this.#lanes.delete(network)) this.#lanes.set(network, lane)
    return next
  }

  /** Takes a password out of the queue, if it still waits. */
  #leave(network: string, waiting: Waiting): void {
    const lane = this.#lanes.get(network)
    if (lane?.delete(waiting) !== true) return
    this.#waiting--
    if (lane.size === 0) this.#lanes.delete(network)
  }
}
