/** Replies that are written together, because that is cheaper than each on its own. */
import type { ServerResponse } from 'node:http'
import type { Reply } from './service.ts'

/**
 * Writes the replies of one turn of the event loop one right after the other. A client that waits is woken up by the
 * first, and finds the others when it gets to read. To wake it up for each would cost the server a quarter more CPU per
 * request, as waking up a process is the most expensive part of a reply. To measure it again, call `write` from `add`
 * and compare what `npm run bench` prints.
 */
export class ReplyBatch {
  readonly #write: (response: ServerResponse, reply: Reply) => void
  #replies: [ServerResponse, Reply][] = []

  constructor(write: (response: ServerResponse, reply: Reply) => void) {
    this.#write = write
  }

  /** Queues a reply, to be written at the end of this turn. */
  add(response: ServerResponse, reply: Reply): void {
    if (response.socket === null) {
      // This reply waits for an earlier one on its connection. Write both now: until then node does not count their
      // bytes, and reads more requests from the client.
      this.#writeAll()
      this.#write(response, reply)
    } else if (this.#replies.push([response, reply]) === 1) setImmediate(() => this.#writeAll())
  }

  #writeAll(): void {
    const replies = this.#replies
    this.#replies = []
    for (const [response, reply] of replies) this.#write(response, reply)
  }
}
