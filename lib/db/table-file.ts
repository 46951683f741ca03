/** Reading and writing `users.json` and its log. */
import { isUtf8 } from 'node:buffer'
import { closeSync, openSync, readSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { TABLE, User } from '../../user.ts'
import { messageOf, StoreError } from './engine.ts'

/** The shape of `users.json`. */
export type Data = { [TABLE]: User[] }

/** For how long the rows of one slice of a fold are put together, in milliseconds. */
const SLICE = 2

/** Some rows of a file, and the line where each begins. `tornAt`: the offset of a torn record behind them. */
export type Page = { path: string; rows: unknown[]; lines: number[]; tornAt?: number }

/** How much is read at a time; no row is longer. In bytes. */
const PIECE = 64 * 1024

/** The rows of a table, however it is laid out. It may be longer than any string can be. */
export function* readTable(path: string): Generator<Page> {
  /** Bytes not used yet, from the end of the last complete row on; the line on which they begin; whether there was a row. */
  let rest: Buffer = Buffer.alloc(0)
  let line = 1
  let isFirst = true
  for (const piece of readPieces(path)) {
    const data = Buffer.concat([rest, piece])
    const { page, end, lineAtEnd } =
      readOwnLayout(path, data, line, isFirst) ?? readAnyLayout(path, data, line, isFirst)
    if (page !== undefined) yield page
    else if (data.length > 2 * PIECE) throw damaged({ path, rows: [], lines: [line] }, 0, 'no end of the row')
    if (page !== undefined) isFirst = false
    ;[rest, line] = [data.subarray(end), lineAtEnd]
  }
  const tail = rest.toString()
  if ((isFirst ? /^\s*\{\s*"users"\s*:\s*\[\s*\]\s*\}\s*$/ : /^\s*\]\s*\}\s*$/).test(tail)) return
  // Up to the row that has no end, or else to the end of what there is.
  const place = /^\s*,\s*(?=\{)/.exec(tail)?.[0] ?? tail.trimEnd()
  line += place.split('\n').length - 1
  throw damaged({ path, rows: [], lines: [line] }, 0, 'no end of the table')
}

/** The complete rows at the beginning of the data, where they end, and on which line. */
type Layout = { page: Page | undefined; end: number; lineAtEnd: number }

/** Rows that are one a line, as `writeTable` lays them out: a line end is never in a string, so the last one is a safe cut. */
function readOwnLayout(path: string, data: Buffer, line: number, isFirst: boolean): Layout | undefined {
  const before = isFirst ? `{"${TABLE}":[\n{"id":` : ',\n{"id":'
  const end = data.lastIndexOf('},\n') + 1
  if (end === 0 || data.toString('latin1', 0, before.length) !== before) return undefined
  const bytes = data.subarray(data.indexOf('\n') + 1, end)
  if (!isUtf8(bytes)) return undefined
  try {
    const rows: unknown[] = JSON.parse(`[${bytes.toString()}]`)
    return { page: { path, rows, lines: rows.map((_, i) => line + 1 + i) }, end, lineAtEnd: line + rows.length }
  } catch {
    return undefined
  }
}

/** Rows wherever their braces are. */
function readAnyLayout(path: string, data: Buffer, line: number, isFirst: boolean): Layout {
  const [starts, ends, lines]: [number[], number[], number[]] = [[], [], []]
  let depth = isFirst ? 0 : 1
  let [inString, escaped, lineAtEnd] = [false, false, line]
  for (let i = 0; i < data.length; i++) {
    const byte = data[i]
    if (escaped) escaped = false
    else if (inString) {
      if (byte === 0x22) inString = false
      else if (byte === 0x5c) escaped = true
    } else if (byte === 0x22) inString = true
    else if (byte === 0x0a) line++
    else if (byte === 0x7b && ++depth === 2) {
      starts.push(i)
      lines.push(line)
    } else if (byte === 0x7d && depth-- === 2) {
      ends.push(i + 1)
      lineAtEnd = line
    }
  }
  const end = ends.at(-1)
  if (end === undefined) return { page: undefined, end: 0, lineAtEnd }
  const page = { path, rows: [], lines: lines.slice(0, ends.length) }
  const before = isFirst ? /^\s*\{\s*"users"\s*:\s*\[\s*$/ : /^\s*,\s*$/
  if (!before.test(data.toString('utf8', 0, starts[0]))) throw damaged(page, 0, 'no readable row')
  return { page: parsePage(page, data, starts, ends, ','), end, lineAtEnd }
}

/** The rows of a log, one a line; a last line without an end is torn. */
export function* readLog(path: string): Generator<Page> {
  let rest: Buffer = Buffer.alloc(0)
  let [line, offset] = [1, 0]
  for (const piece of readPieces(path)) {
    const data = Buffer.concat([rest, piece])
    const [starts, ends, lines]: [number[], number[], number[]] = [[], [], []]
    let start = 0
    for (let end = data.indexOf(0x0a); end >= 0; end = data.indexOf(0x0a, start)) {
      starts.push(start)
      ends.push(end)
      lines.push(line++)
      start = end + 1
    }
    if (ends.length > 0) yield parsePage({ path, rows: [], lines }, data, starts, ends, '\n')
    rest = data.subarray(start)
    offset += start
  }
  if (rest.length === 0) return
  console.error(
    `${path}, line ${line}: dropped a torn record, the last one before a crash; nobody was told it is stored`,
  )
  yield { path, rows: [], lines: [], tornAt: offset }
}

/** Parses rows all at once; only where that fails one by one, to find the one that is damaged. */
function parsePage(page: Page, data: Buffer, starts: number[], ends: number[], separator: ',' | '\n'): Page {
  const bytes = data.subarray(starts[0], ends.at(-1))
  try {
    const text = separator === ',' ? bytes.toString() : bytes.toString().replaceAll(separator, ',')
    const rows: unknown[] = isUtf8(bytes) ? JSON.parse(`[${text}]`) : []
    if (rows.length === ends.length) return { ...page, rows }
  } catch {}
  const utf8 = new TextDecoder('utf-8', { fatal: true })
  const broken = ends.findIndex((end, i) => {
    try {
      JSON.parse(utf8.decode(data.subarray(starts[i], end)))
      return i > 0 && data.toString('utf8', ends[i - 1], starts[i]).trim() !== separator.trim()
    } catch {
      return true
    }
  })
  throw damaged(page, Math.max(broken, 0), 'no readable row')
}

/** The bytes of a file, piece by piece; the last piece is empty. */
function* readPieces(path: string): Generator<Buffer> {
  const file = openSync(path, 'r')
  try {
    for (;;) {
      const piece = Buffer.allocUnsafe(PIECE)
      const length = readSync(file, piece)
      yield piece.subarray(0, length)
      if (length === 0) return
    }
  } finally {
    closeSync(file)
  }
}

/** `new User` for row `i` of a page; the error names its place. */
export function toUserAt(row: unknown, page: Page, i: number): User {
  try {
    return new User(row)
  } catch (error) {
    throw damaged(page, i, messageOf(error))
  }
}

/** The error for damage at row `i` of a page. */
export function damaged({ path, lines }: Page, i: number, message: string): StoreError {
  return new StoreError(`${path}, line ${lines[i]}: ${message}`)
}

/** Writes a table, one row a line, in slices beside the traffic, and syncs it; returns its length. */
export async function writeTable(path: string, users: User[], mode: number): Promise<number> {
  const file = await open(path, 'w', mode)
  try {
    let text = `{"${TABLE}":[`
    let length = 0
    for (let i = 0; i < users.length;) {
      const end = performance.now() + SLICE
      while (i < users.length && performance.now() < end) text += `${i === 0 ? '' : ','}\n${JSON.stringify(users[i++])}`
      await file.appendFile(text)
      length += Buffer.byteLength(text)
      text = ''
    }
    text += '\n]}\n'
    await file.appendFile(text)
    // Whatever the umask is, and whatever a crash has left behind under this name.
    await file.chmod(mode & 0o777)
    await sync(file, path)
    return length + text.length
  } finally {
    await file.close()
  }
}

/** Makes a file's name durable: what was created in or renamed into its directory is there after a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(dirname(path), 'r')
  await sync(directory, dirname(path))
  await directory.close()
}

/** Makes written bytes durable. Not tried again: after a failed fsync the page cache may call lost data clean. */
export async function sync(file: FileHandle, path: string): Promise<void> {
  await mustWork(file.datasync(), `sync ${path}`)
}

/** Waits for a step; should it fail, what memory and disk hold may differ from then on, and that ends the process. */
export async function mustWork(step: Promise<void>, what: string): Promise<void> {
  try {
    await step
  } catch (error) {
    console.error(`cannot ${what}: ${messageOf(error)}; stopping, start again to go on with what is on the disk`)
    process.exit(1)
  }
}
