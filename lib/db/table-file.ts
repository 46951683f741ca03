/** Reading and writing `users.json`. It is written with one row per line, so that grep, diff and jq work on it. */
import { isUtf8 } from 'node:buffer'
import { type BigIntStats, readFileSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { TABLE, type User } from '../../user.ts'
import { messageOf } from '../errors.ts'
import { StoreError, toUser } from './engine.ts'
import { readLines } from './lines.ts'
import type { Rows } from './rows.ts'

/** The first line that is written. */
const HEAD = `{"${TABLE}":[\n`
/** The last line. `last_id` is in it, not in the first, because users may be added while the table is written. */
const TAIL = /^\](?:,"last_id":(\d{1,15}))?\}\n$/

const COMMA = 44

/** How long rows are serialized before other work gets its turn. */
const SLICE_MS = 2

/** Rows in the order of the file; the highest id ever given, 0 if the file lacks it; where a row is, for messages. */
export type Stored = { users: User[]; lastId: number; locate: (index: number) => string }

/** Reads a table, whatever its layout. For a damaged one, the `StoreError` names the line or the number of the row. */
export async function readTable(path: string): Promise<Stored> {
  const stored: Stored = { users: [], lastId: 0, locate: (index) => `${path}, line ${index + 2}` }
  const unreadable = await readRows(path, stored)
  return unreadable === undefined ? stored : readWhole(path, unreadable)
}

/** Reads the layout of `writeTable`. Returns the location of the first line that does not fit it, if there is one. */
async function readRows(path: string, stored: Stored): Promise<string | undefined> {
  const { users, locate } = stored
  let hasHead = false
  let isOver = false
  let hasComma: boolean | undefined
  for await (const { values, bytes } of readLines(path, ',')) {
    if (!hasHead) {
      if (!bytes.equals(Buffer.from(HEAD))) return path
      hasHead = true
    } else if (values !== undefined && !isOver) {
      // Every row but the last one has a comma after it.
      if (hasComma === false) return locate(users.length - 1)
      for (const row of values) users.push(toUser(row, () => locate(users.length)))
      hasComma = bytes.at(-2) === COMMA
    } else {
      const tail = isOver || hasComma === true ? null : TAIL.exec(bytes.toString())
      if (tail === null) return locate(users.length)
      stored.lastId = Number(tail[1] ?? 0)
      isOver = true
    }
  }
  return isOver ? undefined : locate(users.length)
}

/** Reads any layout. `location` is where the file departs from the layout of `writeTable`. */
function readWhole(path: string, location: string): Stored {
  const { [TABLE]: rows, last_id: lastId = 0, ...others }: Record<string, unknown> = Object(parseWhole(path, location))
  if (!Array.isArray(rows) || Object.keys(others).length > 0) {
    throw new StoreError(`${path}: expected {"${TABLE}":[…]}, a list of rows, and no other key but "last_id"`)
  }
  if (typeof lastId !== 'number' || !Number.isSafeInteger(lastId) || lastId < 0) {
    throw new StoreError(`${path}: last_id must be the highest id that was ever given, or missing`)
  }
  const locate = (index: number) => `${path}, row ${index + 1}`
  return { users: rows.map((row, i) => toUser(row, () => locate(i))), lastId, locate }
}

function parseWhole(path: string, location: string): unknown {
  try {
    const bytes = readFileSync(path)
    if (bytes.length === 0) throw new StoreError(`${path} is empty; delete it to begin without users`)
    if (!isUtf8(bytes)) {
      throw new StoreError(`${location}: not readable as UTF-8; if it is Latin-1, iconv -f latin1 -t utf-8 converts it`)
    }
    // Ignore the byte order mark that Windows programs write (RFC 8259, section 8.1).
    return JSON.parse(bytes.toString().replace(/^\ufeff/, ''))
  } catch (error) {
    if (error instanceof StoreError) throw error
    // Leave out the excerpt, which may be part of a hash. If the unexpected token is a line end, write it as \n.
    const reason = messageOf(error)
      .replace(/, (\.{3})?".*/s, '')
      .replace('\n', '\\n')
    throw new StoreError(`${location}: not readable${error instanceof SyntaxError ? ' as JSON' : ''}: ${reason}`)
  }
}

/** Writes and syncs a new table in slices, between which requests are served; owner and mode are `like`'s, or 0600. */
export async function writeTable(path: string, rows: Rows, like?: BigIntStats): Promise<BigIntStats> {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.appendFile(HEAD.trimEnd())
    const { all } = rows
    for (let i = 0; i < all.length;) {
      let text = ''
      const end = performance.now() + SLICE_MS
      while (i < all.length && performance.now() < end) text += `${i === 0 ? '' : ','}\n${JSON.stringify(all[i++])}`
      await file.appendFile(text)
    }
    await file.appendFile(`\n],"last_id":${rows.lastId}}\n`)
    if (like !== undefined) await copyAccess(file, like)
    // Not datasync, which may leave out owner and mode.
    await file.sync()
    return await file.stat({ bigint: true })
  } catch (error) {
    throw new Error(`${path}: ${messageOf(error)}`)
  } finally {
    await file.close()
  }
}

/** Gives a file the mode of another, and its group and owner as far as this process may set them. */
async function copyAccess(file: FileHandle, { uid, gid, mode }: BigIntStats): Promise<void> {
  // One at a time: only root may change the owner, but others may change the group.
  await file.chown(-1, Number(gid)).catch(() => {})
  await file.chown(Number(uid), -1).catch(() => {})
  await file.chmod(Number(mode) & 0o777)
}
