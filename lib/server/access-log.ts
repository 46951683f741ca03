/** Request lines on stdout. */
import { pathOf } from './head.ts'

/** How long a line of the log may wait for others, in milliseconds, and how many lines wait at most. */
const LOG_DELAY = 100
const LOG_ENTRIES = 512

/** What the log says of a request. */
export type LogEntry = {
  address: string
  method: string
  target: string
  version: string
  status: number
  bytes: number
}

/** Request lines on stdout in the Common Log Format, made and written in batches: each on its own costs ten times as much. */
export class AccessLog {
  #entries: LogEntry[] = []

  /** Adds a request. */
  add(entry: LogEntry): void {
    const waiting = this.#entries.push(entry)
    if (waiting === 1) setTimeout(() => this.flush(), LOG_DELAY).unref()
    else if (waiting === LOG_ENTRIES) this.flush()
  }

  /** Writes what has come together. */
  flush(): void {
    if (this.#entries.length === 0) return
    const date = new Date().toUTCString().replace(/^\w+, (\d+) (\w+) (\d+) (.*) GMT$/, '$1/$2/$3:$4 +0000')
    const lines = this.#entries.map(({ address, method, target, version, status, bytes }) => {
      // What node's parser could not read has no method.
      const request = method === '' ? '-' : `${method} ${printable(pathOf(target))} HTTP/${version}`
      return `${address} - - [${date}] "${request}" ${status} ${bytes || '-'}\n`
    })
    this.#entries = []
    process.stdout.write(lines.join(''))
  }
}

/** A text with nothing in it that could break a line of the log. */
function printable(text: string): string {
  return /["\\]|[^ -~]/.test(text) ? text.replace(/["\\]|[^ -~]/g, '?') : text
}
