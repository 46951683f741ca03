/** Reading a table and replaying its log over it. */
import { User } from '../../user.ts'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'
import { statFile } from './files.ts'
import { parseBlock, readBlocks } from './lines.ts'
import { Rows } from './rows.ts'
import { readTable, type Stored } from './table-file.ts'

/** What a start finds: the rows, and the log as far as it is readable, in bytes. */
export type Loaded = { rows: Rows; logLength: number }

/** How many rows are put into the Maps from one call of `keep` to the next. */
const KEEP_ROWS = 10_000

/**
 * Reads the table at `path` and replays the log over it: a row in the log replaces the row with its id. Replaying a log over
 * a table that has its rows already changes nothing.
 * @param keep called again and again; may throw to give up
 * @throws {StoreError} when anything is damaged but the log's last line
 */
export function load(path: string, keep: () => void): Loaded {
  const log = statFile(`${path}-wal`) && `${path}-wal`
  const changed = new Map<number, User>()
  let logLength = 0
  if (log !== undefined) {
    const { end, broken } = readLog(log, keep, (users) => {
      for (const user of users) changed.set(user.id, user)
    })
    logLength = end
    if (broken !== undefined) {
      console.error(`${broken}: dropped: a crash cut it off before any client was told that it was stored`)
    }
  }
  const stored: Stored = statFile(path) ? readTable(path, keep) : { users: [], lastId: 0, placeOf: () => path }
  const rows = new Rows(stored.lastId)
  for (const user of merge(stored, changed)) {
    if (rows.all.length % KEEP_ROWS === 0) keep()
    if (rows.add(user)) continue
    const inTable = stored.placeOf(stored.users.findIndex(({ id }) => id === user.id))
    const place = (log && placeInLog(log, user.id)) ?? inTable
    throw new StoreError(`${place}: a second row with email ${user.email}; delete one of them`)
  }
  return { rows, logLength }
}

/** The rows of a table with their newer versions, in the order of their ids. */
function merge({ users, placeOf }: Stored, changed: Map<number, User>): User[] {
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
    if (ids.has(id)) throw new StoreError(`${placeOf(i)}: a second row with id ${id}; delete one of them`)
    ids.add(id)
  }
}

/** Where the last version of a row stands in the log, if it does. */
function placeInLog(log: string, id: number): string | undefined {
  let found: string | undefined
  const look = (users: User[], place: string) => {
    if (users.some((user) => user.id === id)) found = place
  }
  readLog(log, () => {}, look)
  return found
}

/**
 * Reads the batches of a log.
 * @returns where the readable part ends, in bytes, and which last line a crash has left unreadable: cut off, or with holes
 * @throws {StoreError} when any other line is damaged
 */
function readLog(
  path: string,
  keep: () => void,
  take: (users: User[], place: string) => void,
): { end: number; broken?: string } {
  let line = 1
  let end = 0
  let broken: string | undefined
  for (const block of readBlocks(path, keep)) {
    for (const { values, bytes } of parseBlock(block, '')) {
      if (broken !== undefined) throw new StoreError(`${broken}: not readable; only the last line may be cut off`)
      if (values === undefined) {
        broken = `${path}, line ${line}`
        continue
      }
      for (const batch of values) {
        const place = `${path}, line ${line++}`
        take(toUsers(batch, place), place)
      }
      end += bytes
    }
  }
  return broken === undefined ? { end } : { end, broken }
}

/** The rows of a batch. */
function toUsers(batch: unknown, place: string): User[] {
  try {
    if (!Array.isArray(batch)) throw new Error('a batch must be a list of rows')
    return batch.map((row) => new User(row))
  } catch (error) {
    throw new StoreError(`${place}: ${messageOf(error)}`)
  }
}
