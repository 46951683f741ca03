/** Request lines on stdout. */
import { cut, printable } from './head.ts'

/** A line waits at most this long for others. */
const FLUSH_MS = 100
/** This many lines are written without waiting for more. */
const FLUSH_LINES = 512
/** While more characters wait for the reader of stdout, lines are dropped. */
const MAX_UNREAD_CHARACTERS = 1024 * 1024

/** A request and its reply, as the log shows them. */
export type LogEntry = {
  address: string
  userId: number | undefined
  method: string
  target: string
  version: string
  status: number
  bytes: number
}

/**
 * Request lines on stdout in the Common Log Format, made and written in batches: each on its own costs ten times as much. When
 * stdout is a pipe or socket, no request waits for its reader: lines that it does not keep up with are dropped, and counted.
 */
export class AccessLog {
  #entries: LogEntry[] = []
  #dropped = 0

  /** Adds a request. */
  add(entry: LogEntry): void {
    const waiting = this.#entries.push(entry)
    if (waiting === 1) setTimeout(() => this.#flush(), FLUSH_MS).unref()
    else if (waiting === FLUSH_LINES) this.#flush()
  }

  /** Writes what has been collected; nothing may be added afterwards. */
  close(): void {
    this.#flush()
    this.#reportDropped()
  }

  #flush(): void {
    if (process.stdout.writableLength > MAX_UNREAD_CHARACTERS) this.#dropped += this.#entries.length
    else if (this.#entries.length > 0) {
      this.#reportDropped()
      process.stdout.write(linesOf(this.#entries))
    }
    this.#entries = []
  }

  #reportDropped(): void {
    if (this.#dropped > 0) console.error(`the access log dropped ${this.#dropped} lines: stdout is not being read`)
    this.#dropped = 0
  }
}

function linesOf(entries: LogEntry[]): string {
  const date = new Date().toUTCString().replace(/^\w+, (\d+) (\w+) (\d+) (.*) GMT$/, '$1/$2/$3:$4 +0000')
  const lines = entries.map(({ address, userId, method, target, version, status, bytes }) => {
    // What node's parser could not read has no method.
    const request = method === '' ? '-' : `${method} ${printable(cut(target, '?')[0])} HTTP/${version}`
    return `${address} - ${userId ?? '-'} [${date}] "${request}" ${status} ${bytes || '-'}\n`
  })
  return lines.join('')
}
