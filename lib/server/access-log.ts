/** Request lines on stdout. */
import type { IncomingMessage } from 'node:http'
import type { Config } from './config.ts'
import { addressOf, cut, printable } from './head.ts'
import type { Reply } from './service.ts'

/** A line waits at most this long for others. */
const FLUSH_MS = 100
/** While more characters than this wait for the reader of stdout or stderr, lines are dropped, to bound the memory. */
export const MAX_UNREAD_CHARS = 1024 * 1024

/** Request lines in the Common Log Format, written in batches: each on its own costs ten times as much. */
export class AccessLog {
  readonly #config: Config
  #lines: string[] = []
  /** When the batch began. */
  #date = ''
  #dropped = 0

  constructor(config: Config) {
    this.#config = config
  }

  /** Adds a request and its reply, which has this many bytes of body. */
  add(request: IncomingMessage, { status, userId }: Reply, bytes: number): void {
    if (this.#lines.length === 0) {
      this.#date = new Date().toUTCString().replace(/^\w+, (\d+) (\w+) (\d+) (.*) GMT$/, '$1/$2/$3:$4 +0000')
      setTimeout(() => this.#flush(), FLUSH_MS).unref()
    }
    const { method, url = '', httpVersion } = request
    // A request that node's parser could not read has no method.
    const line = method ? `${method} ${printable(cut(url, '?')[0])} HTTP/${httpVersion}` : '-'
    const address = addressOf(this.#config, request)
    this.#lines.push(`${address} - ${userId ?? '-'} [${this.#date}] "${line}" ${status} ${bytes || '-'}\n`)
  }

  /** Writes what has been collected; nothing may be added afterwards. */
  close(): void {
    this.#flush()
    this.#reportDropped()
  }

  #flush(): void {
    if (process.stdout.writableLength > MAX_UNREAD_CHARS) this.#dropped += this.#lines.length
    else if (this.#lines.length > 0) {
      this.#reportDropped()
      process.stdout.write(this.#lines.join(''))
    }
    this.#lines = []
  }

  #reportDropped(): void {
    if (this.#dropped > 0) console.error(`the access log dropped ${this.#dropped} lines: stdout is not being read`)
    this.#dropped = 0
  }
}
