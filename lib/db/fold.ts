/**
 * Folding the log into the table while requests are served, in the steps that README.md lists under Folds. The old log
 * stays whole until the new table is durable: a crash between any two steps loses nothing.
 */
import { COPYFILE_EXCL } from 'node:constants'
import type { BigIntStats } from 'node:fs'
import { copyFile, type FileHandle, link, open, rename, unlink } from 'node:fs/promises'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'
import { exitAfter, exitWith, statFile, temporaryName } from './files.ts'
import type { GroupCommit } from './group-commit.ts'
import type { Lock } from './lock.ts'
import { LogFile } from './log-file.ts'
import type { Rows } from './rows.ts'
import { writeTable } from './table-file.ts'

/** An open table. `table` is the stats of its file as this process left it; `undefined` if there is none yet. */
export type Files = {
  path: string
  directory: FileHandle
  lock: Lock
  log: LogFile
  table: BigIntStats | undefined
  commits: GroupCommit
}

/** Throws `StoreError` unless lock and log are this process's own. */
export function checkOwner({ lock, log }: Files): void {
  lock.check()
  if (log.isInPlace()) return
  throw new StoreError(`${log.path} was deleted or replaced: this process has lost its table; start it again`)
}

/** Ends the process unless lock and log are its own. */
export function mustOwn(files: Files): void {
  try {
    checkOwner(files)
  } catch (error) {
    exitWith(messageOf(error))
  }
}

/** True if the table's file is as this process left it. */
export function isAsLeft({ path, table }: Files): boolean {
  const now = statFile(path)
  return now?.ino === table?.ino && now?.size === table?.size && now?.mtimeNs === table?.mtimeNs
}

/** Folds the log into the table. When it throws, the log still holds everything that the table does not. */
export async function fold(files: Files, rows: Rows): Promise<void> {
  // A process that has lost its table must end here, or it would take its successor's table for an edit.
  mustOwn(files)
  // All changes before this offset are in rows, so the new table will have them.
  const start = files.log.length
  await replaceTable(files, rows)
  await replaceLog(files, start)
}

/** Replaces the table with a new one of all rows; keeps a version that another program has made. */
async function replaceTable(files: Files, rows: Rows): Promise<void> {
  const { commits, directory, path } = files
  const temporary = temporaryName(path)
  const { failures } = commits
  try {
    // Not the mode of another program's version, which may let others read it.
    const table = await writeTable(temporary, rows, isAsLeft(files) ? statFile(path) : files.table)
    // The new table may have changes that were still on their way to the log. Wait until each is in the log or undone.
    await commits.drained()
    if (failures !== commits.failures) throw new Error('a change that the new table may contain was undone')
    mustOwn(files)
    if (statFile(path) !== undefined && !isAsLeft(files)) {
      await keepEdited(files)
      mustOwn(files)
    }
    // A process that takes over after this check removes the temporary file, and the rename fails.
    await rename(temporary, path)
    files.table = table
  } catch (error) {
    // Free the space of the temporary file, as the disk may be full.
    await unlink(temporary).catch(() => {})
    throw error
  }
  await directory.sync().catch((error) => exitAfter(`sync the directory of ${path}`, error))
}

/** Gives another program's version of the table a second name. A rename would leave `path` missing for a moment. */
async function keepEdited({ path, directory }: Files): Promise<void> {
  const edited = `${path}-edited-${new Date().toISOString().replace(/[-:.]/g, '')}`
  try {
    await link(path, edited)
  } catch {
    // No link: the file belongs to another user (fs.protected_hardlinks), or the file system has no hard links.
    await copyFile(path, edited, COPYFILE_EXCL)
    const copy = await open(edited, 'r+')
    await copy.sync().finally(() => copy.close())
  }
  await directory.sync()
  console.error(
    `another program has changed ${path} while this process has it open: that version is ${edited} now, and does not count; ` +
      'stop the service to edit the table',
  )
}

/** Begins a new log with what is in the old one from `start` on. */
async function replaceLog(files: Files, start: number): Promise<void> {
  const { commits, directory, log } = files
  await commits.inTurn(async () => {
    files.log = await LogFile.replace(log.path, start, log.length, () => mustOwn(files))
    await directory.sync().catch((error) => exitAfter(`sync the directory of ${log.path}`, error))
  })
  // Nobody reads the old log any more, so a failure to close it does not fail the fold.
  await log.close().catch(() => {})
}
