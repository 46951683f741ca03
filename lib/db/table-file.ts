/**
 * Reading and writing `users.json`. The layout that is written has one row per line, so that grep, diff and jq work on it,
 * and is read line by line; any other goes through JSON.parse as a whole, and may be as long as V8's longest string.
 */
import { isUtf8 } from 'node:buffer'
import { type BigIntStats, closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { TABLE, User } from '../../user.ts'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'

/** The first line of the layout that is written, and the last. */
const HEAD = `{"${TABLE}":[\n`
const TAIL = ']}\n'

/** How much is read at a time, in bytes, */
const PIECE = 64 * 1024
/** and more than any row can have: six columns of 250 characters take 9 KB if each is written as two escapes. */
const LONGEST = 64 * 1024

/** How long rows are serialized before other work gets its turn, in milliseconds. */
const SLICE = 2

/** The rows of a table in the order of the file, and where a row stands, for people. */
export type TableRows = { users: User[]; placeOf: (index: number) => string }

/**
 * Reads a table, whatever its layout.
 * @throws {StoreError} when it is damaged; names the line or the number of the row
 */
export function readTable(path: string): TableRows {
  const lines: TableRows = { users: [], placeOf: (index) => `${path}, line ${index + 2}` }
  const unreadable = readLines(path, lines)
  if (unreadable === undefined) return lines
  const rows: TableRows = { users: [], placeOf: (index) => `${path}, row ${index + 1}` }
  addAll(rows, parseWhole(path, unreadable))
  return rows
}

/**
 * Adds the rows of the layout that is written; returns the place of the first line that does not fit it. Each row but the
 * last one has a comma behind it, and a line end is never inside a string: so the last `},` before a line end ends a row.
 */
function readLines(path: string, rows: TableRows): string | undefined {
  const placeAfter = (lines: number) => rows.placeOf(rows.users.length + lines)
  let rest: Buffer | undefined
  for (const piece of readPieces(path)) {
    if (rest === undefined && piece.toString('latin1', 0, HEAD.length) !== HEAD) return path
    const data: Buffer = rest === undefined ? piece.subarray(HEAD.length) : Buffer.concat([rest, piece])
    const end = data.lastIndexOf('},\n') + 3
    rest = data
    if (end > 2) {
      const lines = data.subarray(0, end)
      const found = parseLines(lines)
      if (found === undefined) return placeAfter(countReadable(lines))
      addAll(rows, found)
      rest = data.subarray(end)
    }
    if (rest.length > 2 * LONGEST) return placeAfter(0)
  }
  if (rest === undefined) return path
  const tail = rest.toString('latin1')
  if (tail === TAIL && rows.users.length === 0) return
  const last = tail.endsWith(`}\n${TAIL}`) ? parseLines(rest.subarray(0, -TAIL.length)) : undefined
  if (last === undefined) return placeAfter(countReadable(rest))
  addAll(rows, last)
}

/** The rows on some lines; `undefined` unless there is exactly one on each. */
function parseLines(bytes: Buffer): unknown[] | undefined {
  if (!isUtf8(bytes)) return
  const text = bytes.toString()
  try {
    const rows: unknown[] = JSON.parse(`[${text.endsWith(',\n') ? text.slice(0, -2) : text}]`)
    if (rows.length === countLines(bytes)) return rows
  } catch {}
}

/** How many lines have a readable row before the first that has none, or that lacks its comma. */
function countReadable(bytes: Buffer): number {
  const lines = bytes.toString('latin1').split('\n')
  const isBroken = (line: string) =>
    !line.endsWith('},') || parseLines(Buffer.from(`${line}\n`, 'latin1')) === undefined
  return Math.max(lines.findIndex(isBroken), 0)
}

function countLines(bytes: Buffer): number {
  let count = 0
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, end + 1)) count++
  return count
}

/** The rows of a table in any layout; `place` is where it differs from the one that is written. */
function parseWhole(path: string, place: string): unknown[] {
  let data: unknown
  try {
    const bytes = readFileSync(path)
    if (!isUtf8(bytes)) throw new SyntaxError()
    data = JSON.parse(bytes.toString())
  } catch (error) {
    const what =
      error instanceof SyntaxError ? `not readable as JSON in UTF-8; \`jq . ${path}\` says why` : messageOf(error)
    throw new StoreError(`${place}: ${what}`)
  }
  const rows = typeof data === 'object' && data !== null && TABLE in data ? data[TABLE] : undefined
  if (Array.isArray(rows) && Object.keys(Object(data)).length === 1) return rows
  throw new StoreError(`${path}: expected {"${TABLE}":[…]}, a list of rows and no other key; found ${describe(data)}`)
}

/** What a value is, for people. */
function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (typeof value !== 'object' || value === null) return value === null ? 'null' : `a ${typeof value}`
  const keys = Object.keys(value).map((key) => JSON.stringify(key))
  if (keys.length === 0) return '{}'
  return keys.join() === `"${TABLE}"` ? `no list under "${TABLE}"` : `the keys ${keys.slice(0, 5).join(', ')}`
}

/** Checks rows and adds them. */
function addAll({ users, placeOf }: TableRows, rows: unknown[]): void {
  for (const row of rows) {
    try {
      users.push(new User(row))
    } catch (error) {
      throw new StoreError(`${placeOf(users.length)}: ${messageOf(error)}`)
    }
  }
}

/** The bytes of a file, piece by piece. */
export function* readPieces(path: string): Generator<Buffer> {
  const file = openSync(path, 'r')
  try {
    for (;;) {
      const piece = Buffer.allocUnsafe(PIECE)
      const length = readSync(file, piece)
      if (length === 0) return
      yield piece.subarray(0, length)
    }
  } finally {
    closeSync(file)
  }
}

/**
 * Writes a table to a new file, in slices beside the traffic, and syncs it. Owner, group and mode are those of the table that
 * it will replace, as far as this process may set them; a table that replaces none is private.
 * @returns what the file system knows about the file
 */
export async function writeTable(path: string, users: readonly User[], like?: BigIntStats): Promise<BigIntStats> {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.appendFile(HEAD.trimEnd())
    for (let i = 0; i < users.length;) {
      let text = ''
      const end = performance.now() + SLICE
      while (i < users.length && performance.now() < end) text += `${i === 0 ? '' : ','}\n${JSON.stringify(users[i++])}`
      await file.appendFile(text)
    }
    await file.appendFile(`\n${TAIL}`)
    if (like !== undefined) await copyAccess(file, like)
    // Not datasync, which may leave out owner and mode.
    await file.sync()
    return await file.stat({ bigint: true })
  } finally {
    await file.close()
  }
}

/** Gives a file the owner, group and mode of another. Only root may give a file away; anybody else keeps it. */
async function copyAccess(file: FileHandle, { uid, gid, mode }: BigIntStats): Promise<void> {
  try {
    await file.chown(Number(uid), Number(gid))
  } catch {}
  await file.chmod(Number(mode) & 0o777)
}
