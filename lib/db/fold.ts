/**
 * Folding the log into the table, beside the traffic: a new table, and then a new log with only what was written since that
 * table was begun. Until the new table's name is durable the old log stays whole, so a crash between any two steps loses nothing.
 */
import type { BigIntStats } from 'node:fs'
import { type FileHandle, rename, unlink } from 'node:fs/promises'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'
import { isUnchanged, mustWork, statFile, stop, temporaryName } from './files.ts'
import type { GroupCommit } from './group-commit.ts'
import type { Lock } from './lock.ts'
import { LogFile } from './log-file.ts'
import type { Rows } from './rows.ts'
import { writeTable } from './table-file.ts'

/**
 * A table that this process has open. `table` is its file as this process has read or written it; if somebody has changed it
 * since, `kept` is where the rows without that change are.
 */
export type Opened = {
  path: string
  directory: FileHandle
  lock: Lock
  log: LogFile
  table: BigIntStats | undefined
  kept?: string | undefined
  commits: GroupCommit
}

/**
 * Throws unless lock and log are this process's own.
 * @throws {StoreError}
 */
export function checkOwner({ lock, log }: Opened): void {
  lock.check()
  if (log.isInPlace()) return
  throw new StoreError(`${log.path} was deleted or replaced: this process has lost its table; start it again`)
}

/** Ends the process unless lock and log are its own. */
export function mustOwn(opened: Opened): void {
  try {
    checkOwner(opened)
  } catch (error) {
    stop(messageOf(error))
  }
}

/** Tells whether the table's file is as this process has left it. One that cannot be looked at is not. */
export function isAsLeft({ path, table }: Opened): boolean {
  try {
    const now = statFile(path)
    return now === undefined ? table === undefined : isUnchanged(now, table)
  } catch {
    return false
  }
}

/** Folds the log into the table. When it throws, the log still holds everything that the table does not. */
export async function fold(opened: Opened, rows: Rows): Promise<void> {
  mustOwn(opened)
  // What is in the log up to here is in memory, and so will be in the new table.
  const start = opened.log.length
  const temporary = temporaryName(opened.path)
  try {
    await replaceTable(opened, rows, temporary)
  } catch (error) {
    // On a full disk others could use the room. It is not there if it could not be made, or if it was renamed.
    await unlink(temporary).catch(() => {})
    throw error
  }
  await replaceLog(opened, start)
}

/**
 * Puts all rows in place of the table. One that somebody else has changed stays, and the rows are kept beside it, once: the
 * change may have been made to an older table, which has fewer. One that was deleted is written again.
 */
async function replaceTable(opened: Opened, rows: Rows, temporary: string): Promise<void> {
  const { commits, directory, path } = opened
  const isEdited = () => statFile(path) !== undefined && !isAsLeft(opened)
  if (opened.kept !== undefined && isEdited()) throw edited(opened)
  const { failures } = commits
  const table = await writeTable(temporary, rows.all, statFile(path) ?? opened.table)
  // The new table may have a change that was still on its way to the log. By now it is in the log, or was undone.
  await commits.drained()
  if (failures !== commits.failures) throw new Error('a change that the new table may contain was undone')
  mustOwn(opened)
  if (isEdited()) {
    const kept = `${path}-unedited-${new Date().toISOString().replace(/[-:]|\..*(?=Z)/g, '')}`
    await rename(temporary, kept)
    await directory.sync()
    opened.kept = kept
    throw edited(opened)
  }
  await rename(temporary, path)
  opened.table = table
  opened.kept = undefined
  await mustWork(directory.sync(), `sync the directory of ${path}`)
}

function edited({ path, log, kept }: Opened): Error {
  return new Error(
    `another program has changed ${path}; restart to load it, with the changes in ${log.path} on top; ` +
      `${kept} has it without that change`,
  )
}

/** Begins a new log with what is in the old one from `start` on. */
async function replaceLog(opened: Opened, start: number): Promise<void> {
  const { commits, directory, log } = opened
  const next = await LogFile.create(log.path)
  try {
    await next.copyEnd(log, start)
    await commits.inTurn(async () => {
      await next.copyEnd(log, start + next.length)
      await next.sync()
      mustOwn(opened)
      await next.replace()
      opened.log = next
      await mustWork(directory.sync(), `sync the directory of ${log.path}`)
    })
  } catch (error) {
    await next.discard()
    throw error
  }
  // Nobody reads it any more, so that it cannot be closed says nothing about the fold.
  await log.close().catch(() => {})
}
