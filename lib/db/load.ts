/** Reading a table and replaying its log over it. */
import { setImmediate as turn } from 'node:timers/promises'
import type { User } from '../../user.ts'
import { StoreError, toUser } from './engine.ts'
import { statFile } from './files.ts'
import { readLines } from './lines.ts'
import { Rows } from './rows.ts'
import { readTable, type Stored } from './table-file.ts'

/** How many rows are put into the Maps before other work gets its turn, such as the lock's heartbeat. */
const TURN_ROWS = 10_000

/**
 * Reads the table at `path` and replays the log over it: a row in the log replaces the row with its id. `logLength` is
 * how long the readable part of the log is, in bytes.
 * @throws {StoreError} when the table, or any line of the log but the last, is damaged
 */
export async function load(path: string): Promise<{ rows: Rows; logLength: number }> {
  const log = await readLog(`${path}-wal`)
  const stored: Stored = statFile(path) ? await readTable(path) : { users: [], lastId: 0, locate: () => path }
  const rows = new Rows(stored.lastId)
  for (const user of merge(stored.users, log.users)) {
    if (rows.all.length % TURN_ROWS === 0) await turn()
    const isTwin = rows.all.at(-1)?.id === user.id
    if (!isTwin && rows.add(user)) continue
    const line = isTwin ? undefined : log.lines.get(user.id)
    const inTable = () => stored.locate(stored.users.findLastIndex(({ id }) => id === user.id))
    const location = line === undefined ? inTable() : `${path}-wal, line ${line}`
    const value = isTwin ? `id ${user.id}` : `email ${user.email}`
    throw new StoreError(`${location}: a second row with ${value}; delete one of them`)
  }
  return { rows, logLength: log.length }
}

/** All rows in the order of their ids, the log's in place of the table's; rows with the same id are neighbours. */
function merge(users: User[], changed: Map<number, User>): User[] {
  const merged = users.map((user) => changed.get(user.id) ?? user)
  for (const { id } of users) changed.delete(id)
  return [...merged, ...changed.values()].sort((a, b) => a.id - b.id)
}

/** The last version of each row in a log, the line where it stands, and how long the readable part is, in bytes. */
type Log = { users: Map<number, User>; lines: Map<number, number>; length: number }

/** Reads a log. A last line that a crash has left unreadable, cut off or with holes, is dropped with a warning. */
async function readLog(path: string): Promise<Log> {
  const log: Log = { users: new Map(), lines: new Map(), length: 0 }
  if (statFile(path) === undefined) return log
  let line = 0
  let broken: string | undefined
  for await (const { values, bytes } of readLines(path, '')) {
    if (broken !== undefined) throw new StoreError(`${broken}: not readable; only the last line may be cut off`)
    if (values === undefined) {
      broken = `${path}, line ${line + 1}`
      continue
    }
    for (const batch of values) {
      const location = `${path}, line ${++line}`
      if (!Array.isArray(batch)) throw new StoreError(`${location}: a batch must be a list of rows`)
      for (const row of batch) {
        const user = toUser(row, () => location)
        log.users.set(user.id, user)
        log.lines.set(user.id, line)
      }
    }
    log.length += bytes.length
  }
  if (broken !== undefined) {
    console.error(`${broken}: dropped: a crash cut it off before any client was told that it was stored`)
  }
  return log
}
