/**
 * lowdb's adapter for a table with a log: `read()` hands over the table with the log replayed, `write()` folds the log
 * into the table.
 *
 * Once the table is open, there are three kinds of failure:
 * - The log cannot be written, for example on a full disk. The call throws `StoreError` (503) and nothing has changed;
 *   the next call may succeed.
 * - A fold cannot write its temporary files, cannot examine or replace the table, or cannot keep another program's
 *   version of it. The first of several failures prints one line on stderr, and the fold is tried again later.
 * - A sync of the log fails for another reason than a full disk, a sync of its directory fails, a failed write to the
 *   log cannot be undone, or the lock or the log is no longer this process's own. The process ends with one line on
 *   stderr and exit code 1, because from then on memory and disk may differ.
 */
import { lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { Adapter } from 'lowdb'
import type { User } from '../../user.ts'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'
import { checkPlace, exitAfter, exitWith, removeTemporary, statFile } from './files.ts'
import { checkOwner, type Files, fold, isAsLeft, mustOwn } from './fold.ts'
import { GroupCommit } from './group-commit.ts'
import { load } from './load.ts'
import { Lock } from './lock.ts'
import { LogFile } from './log-file.ts'
import type { Rows } from './rows.ts'

/** A log is folded when it is as long as its table and at least this; for a smaller table, after a quiet second too. */
const SMALL_BYTES = 1024 * 1024
/** When folds begin, in milliseconds. */
export const PAUSES = {
  /** How long a small table must be quiet before it is folded. */
  idleMs: 1000,
  /** How long after a failed fold the next one is tried: twice as long each time, up to a minute. */
  firstRetryMs: 1000,
}
const LAST_RETRY_MS = 60_000

/** Advice for when a table cannot be opened, by the code of the error. */
const ADVICE = new Map([
  ['ENOENT', 'create the directory, or correct the path'],
  ['EACCES', "give the table's files and their directory to this user; a run with sudo makes them root's"],
  ['ENOSPC', 'make room on the disk'],
  ['EDQUOT', 'make room, or raise the quota of this user'],
])

/** Keeps a DB that nobody closes from being garbage-collected, which would close its files while they are in use. */
const OPEN = new Set<FileAdapter>()

/** lowdb's adapter for one table, from when it is opened until it is closed. */
export class FileAdapter implements Adapter<Rows> {
  readonly #files: Files
  readonly #rows: Rows
  readonly #pauses: typeof PAUSES
  #isClosed = false
  #folds: Promise<void> = Promise.resolve()
  /** True from when a fold is due until one has succeeded. */
  #isFoldPending = false
  #timer: NodeJS.Timeout | undefined
  /** How long to wait after the next failure. */
  #retryMs: number

  private constructor(files: Omit<Files, 'commits'>, rows: Rows, pauses: typeof PAUSES) {
    this.#files = { ...files, commits: new GroupCommit((line) => this.#append(line)) }
    this.#rows = rows
    this.#pauses = pauses
    this.#retryMs = pauses.firstRetryMs
    OPEN.add(this)
  }

  /**
   * Takes the table's lock, loads the table, and moves what the log holds to a new log.
   * @throws {StoreError} when the table is damaged or not available; nothing is changed then
   */
  static async open(givenPath: string, pauses = PAUSES): Promise<FileAdapter> {
    const undo: (() => Promise<void>)[] = []
    try {
      const path = followLinks(givenPath)
      checkPlace(path)
      const lock = Lock.take(`${path}-lock`, exitWith)
      undo.push(async () => lock.release())
      removeTemporary(path)
      const directory = await open(dirname(path), 'r')
      undo.push(() => directory.close())
      const table = statFile(path)
      const { rows, logLength } = await load(path)
      const log = await LogFile.replace(`${path}-wal`, 0, logLength, () => lock.check())
      undo.push(() => log.close())
      await directory.sync()
      return new FileAdapter({ path, directory, lock, log, table }, rows, pauses)
    } catch (error) {
      // A step that fails must not keep the lock from being released.
      for (const step of undo.reverse()) await step().catch(() => {})
      if (error instanceof StoreError) throw error
      const message = messageOf(error)
      // Search the message: an error to which a file's name was added has no `code`.
      const [, advice] = [...ADVICE].find(([code]) => message.includes(`${code}: `)) ?? []
      throw new StoreError(`cannot open ${givenPath}: ${message}${advice === undefined ? '' : `; ${advice}`}`)
    }
  }

  /** The rows, loaded when the table was opened. Changes are made in the same object, which is what `write` folds. */
  async read(): Promise<Rows> {
    return this.#rows
  }

  /** Resolves when a changed row is durable. If it cannot be written, calls `undo` and throws `StoreError`. */
  append(user: User, undo: () => void): Promise<void> {
    return this.#files.commits.add(user, undo)
  }

  /** Resolves when the disk has answered. Throws `StoreError` unless the table is still this process's own. */
  check(): Promise<void> {
    // In turn, because a fold renames the new log a moment before it puts that log into `files`.
    return this.#files.commits.inTurn(async () => checkOwner(this.#files))
  }

  /** Folds the log into the table, after any fold that is running. A failure prints one line on stderr. */
  async write(): Promise<void> {
    this.#isFoldPending = true
    this.#folds = this.#folds.then(() => this.#fold())
    await this.#folds
  }

  /** Closes the files and releases the lock. A log that could not be folded stays, and the next start replays it. */
  async close(): Promise<void> {
    await this.#folds
    const { commits, directory, lock } = this.#files
    clearTimeout(this.#timer)
    try {
      await commits.inTurn(async () => {
        this.#isClosed = true
        const { log } = this.#files
        await log.cutBack().catch((error) => exitAfter(`undo a write to ${log.path}`, error))
        mustOwn(this.#files)
        if (log.length === 0) log.remove()
        else if (this.#isFoldPending) {
          console.error(`${log.path} could not be folded into the table: keep them together; the next start folds it`)
        }
        await log.close()
      })
      await directory.close()
    } finally {
      lock.release()
      OPEN.delete(this)
    }
  }

  async #append(line: string): Promise<void> {
    await this.#files.log.append(line)
    // Check after the append, not before it: a process that takes over after this check reads this line, but one that
    // took over earlier may have missed it.
    mustOwn(this.#files)
    this.#schedule()
  }

  #schedule(): void {
    const { log, table } = this.#files
    const tableLength = Number(table?.size ?? 0)
    if (this.#isClosed || this.#isFoldPending || log.length === 0) return
    clearTimeout(this.#timer)
    if (log.length >= Math.max(SMALL_BYTES, tableLength)) void this.write()
    else if (tableLength < SMALL_BYTES) this.#foldIn(this.#pauses.idleMs)
  }

  #foldIn(ms: number): void {
    this.#timer = setTimeout(() => this.write(), ms).unref()
  }

  async #fold(): Promise<void> {
    const files = this.#files
    await files.commits.drained()
    // The table may have been closed meanwhile.
    if (this.#isClosed) return
    clearTimeout(this.#timer)
    try {
      if (files.log.length > 0 || !isAsLeft(files)) await fold(files, this.#rows)
      this.#isFoldPending = false
      this.#retryMs = this.#pauses.firstRetryMs
    } catch (error) {
      // If another process has taken the table over, it has removed the temporary file: there is nothing to try again.
      mustOwn(files)
      // Print only the first of several failures in a row.
      if (this.#retryMs === this.#pauses.firstRetryMs) {
        console.error(`cannot fold ${files.log.path} into the table, trying again later: ${messageOf(error)}`)
      }
      this.#foldIn(this.#retryMs)
      this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS)
    }
    this.#schedule()
  }
}

/** The file that a path leads to, even if it does not exist yet: all paths to one table must share one lock. */
function followLinks(path: string): string {
  // Throws when links form a loop.
  statSync(path, { throwIfNoEntry: false })
  const target = join(realpathSync(dirname(path)), basename(path))
  if (lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return target
  return followLinks(resolve(dirname(target), readlinkSync(target)))
}
