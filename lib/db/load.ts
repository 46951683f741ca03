/** Reading a table and replaying its log over it. */
import { isUtf8 } from 'node:buffer'
import type { BigIntStats } from 'node:fs'
import { User } from '../../user.ts'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'
import { statFile } from './files.ts'
import { Rows } from './rows.ts'
import { readPieces, readTable, type TableRows } from './table-file.ts'

/** What a start finds: the rows, the table's file, and the log as far as it is readable, in bytes. */
export type Loaded = { rows: Rows; table: BigIntStats | undefined; logLength: number }

/**
 * Reads the table at `path` and replays the log over it: a row in the log replaces the row with its id. Replaying a log over
 * a table that has its rows already changes nothing.
 * @throws {StoreError} when anything is damaged but the log's last line
 */
export function load(path: string): Loaded {
  const log = `${path}-wal`
  const changed = new Map<number, User>()
  let logLength = 0
  if (statFile(log) !== undefined) {
    for (const { place, users, end } of readLog(log)) {
      if (users === undefined) {
        console.error(`${place}: dropped: a crash cut it off before any client was told that it was stored`)
      } else for (const user of users) changed.set(user.id, user)
      logLength = end
    }
  }
  const table = statFile(path)
  const stored: TableRows = table ? readTable(path) : { users: [], placeOf: () => path }
  const isLogged = changed.size > 0
  const rows = new Rows()
  for (const user of merge(stored, changed)) {
    if (rows.add(user)) continue
    const inTable = stored.placeOf(stored.users.findIndex(({ id }) => id === user.id))
    const place = (isLogged ? placeInLog(log, user.id) : undefined) ?? inTable
    throw new StoreError(`${place}: a second row with email ${user.email}; delete one of them`)
  }
  return { rows, table, logLength }
}

/** The rows of a table with their newer versions, in the order of their ids. */
function merge({ users, placeOf }: TableRows, changed: Map<number, User>): User[] {
  if (!isInOrder(users)) checkIds(users, placeOf)
  const all = changed.size === 0 ? users : users.map((user) => changed.get(user.id) ?? user)
  if (changed.size > 0) for (const { id } of users) changed.delete(id)
  for (const user of changed.values()) all.push(user)
  return isInOrder(all) ? all : all.toSorted((a, b) => a.id - b.id)
}

function isInOrder(users: readonly User[]): boolean {
  return users.every(({ id }, i) => id > (users[i - 1]?.id ?? 0))
}

/** Throws when two rows of a table have one id. */
function checkIds(users: readonly User[], placeOf: (index: number) => string): void {
  const ids = new Set<number>()
  for (const [i, { id }] of users.entries()) {
    if (ids.size === ids.add(id).size)
      throw new StoreError(`${placeOf(i)}: a second row with id ${id}; delete one of them`)
  }
}

/** Where the last version of a row stands in the log, if it does. */
function placeInLog(log: string, id: number): string | undefined {
  return [...readLog(log)].findLast(({ users }) => users?.some((user) => user.id === id))?.place
}

/** A line of a log: where it stands, the rows of the batch, and where the readable part ends, in bytes. */
type Line = { place: string; users: User[] | undefined; end: number }

/** The lines of a log; the last one has no rows when a crash has left it unreadable: cut off, or with holes. */
export function* readLog(path: string): Generator<Line> {
  let rest: Buffer = Buffer.alloc(0)
  let [number, offset] = [1, 0]
  let broken: string | undefined
  for (const piece of readPieces(path)) {
    const data = Buffer.concat([rest, piece])
    let start = 0
    for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10, start)) {
      if (broken !== undefined) throw new StoreError(`${broken}: not readable; only the last line may be cut off`)
      const place = `${path}, line ${number++}`
      const users = parseBatch(data.subarray(start, end), place)
      start = end + 1
      if (users === undefined) broken = place
      else yield { place, users, end: offset + start }
    }
    if (broken === undefined) offset += start
    rest = data.subarray(start)
  }
  if (rest.length > 0 && broken !== undefined)
    throw new StoreError(`${broken}: not readable; only the last line may be cut off`)
  if (rest.length > 0 || broken !== undefined)
    yield { place: broken ?? `${path}, line ${number}`, users: undefined, end: offset }
}

/** The rows on a line of a log; `undefined` when it is not JSON. */
function parseBatch(line: Buffer, place: string): User[] | undefined {
  let batch: unknown
  try {
    batch = isUtf8(line) ? JSON.parse(line.toString()) : undefined
  } catch {}
  if (batch === undefined) return
  try {
    if (!Array.isArray(batch)) throw new Error('a batch must be a list of rows')
    return batch.map((row) => new User(row))
  } catch (error) {
    throw new StoreError(`${place}: ${messageOf(error)}`)
  }
}
