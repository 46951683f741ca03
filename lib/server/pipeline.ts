/** The order in which the requests of one connection are worked on. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { isSafe } from './head.ts'
import type { Reply } from './service.ts'

/** How many requests of one connection may be without a reply at once. */
const MOST_REQUESTS = 4096

/** What is done with a request. */
export type Steps = {
  /** Works on it; may throw. */
  replyTo(request: IncomingMessage): Promise<Reply> | Reply
  /** Writes its reply. */
  write(response: ServerResponse, reply: Reply): void
  /** Writes the reply to one that failed; never throws. */
  writeError(response: ServerResponse, error: unknown): void
}

/**
 * The pipelined requests of one connection (RFC 9112, section 9.3.2). Safe ones are worked on in parallel. An unsafe one may
 * depend on what was sent before it, so it waits for all work before it, and what comes after it waits for it. Nothing waits
 * until an earlier reply has been sent: node keeps replies in order, and stops reading from a client that does not read them,
 * but it only counts those that it has been given.
 */
export class Pipeline {
  readonly #steps: Steps
  readonly #waiting: ServerResponse[] = []
  #running = 0
  #isUnsafeRunning = false
  /** The response to the latest request that was taken. */
  last: ServerResponse | null = null
  /** Whether nothing more is taken from the client. */
  isClosing = false
  /** Whether the client has pipelined, and is read from in pieces. */
  isInPieces = false

  constructor(steps: Steps) {
    this.#steps = steps
  }

  /** Works on a request when its turn comes; returns `false` when it is not taken, because too many are without a reply. */
  add(response: ServerResponse): boolean {
    if (this.#running + this.#waiting.length >= MOST_REQUESTS) return false
    this.last = response
    if (this.#waiting.length === 0 && this.#mayRun(response)) this.#run(response)
    else this.#waiting.push(response)
    return true
  }

  #mayRun(response: ServerResponse): boolean {
    return this.#running === 0 || (!this.#isUnsafeRunning && isSafe(response.req))
  }

  #run(response: ServerResponse): void {
    // While it waited it was found broken, and the client has been told so.
    if (response.headersSent) return
    try {
      const reply = this.#steps.replyTo(response.req)
      if (reply instanceof Promise) void this.#finish(response, reply)
      else this.#steps.write(response, reply)
    } catch (error) {
      this.#steps.writeError(response, error)
    }
  }

  async #finish(response: ServerResponse, reply: Promise<Reply>): Promise<void> {
    this.#running++
    this.#isUnsafeRunning = !isSafe(response.req)
    try {
      this.#steps.write(response, await reply)
    } catch (error) {
      this.#steps.writeError(response, error)
    }
    this.#running--
    this.#isUnsafeRunning = false
    if (this.#waiting.length > 0) this.#runNext(response.req.socket.destroyed)
  }

  /** Runs those whose turn has come, or none when the client has disconnected. */
  #runNext(isDisconnected: boolean): void {
    if (isDisconnected) this.#waiting.length = 0
    for (let next = this.#waiting[0]; next !== undefined && this.#mayRun(next); next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#run(next)
    }
  }
}
