/**
 * lowdb's adapter for a table with a log: `read()` loads the table and replays the log, `write()` folds the log into the table.
 *
 * What answers 503 (a `StoreError`; nothing has changed, and the next call may succeed): the log cannot be written, such as
 * on a full disk. What only delays a fold (one line on stderr, tried again later): anything about the temporary files, and a
 * table that somebody else has changed. What ends the process (one line on stderr, exit code 1), because memory and disk may
 * differ from then on: a sync of the log or of its directory fails, a failed write cannot be undone in the log, or lock or
 * log are no longer this process's own.
 */
import { open, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Adapter } from 'lowdb'
import type { User } from '../../user.ts'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'
import { checkPlace, followLinks, stop } from './files.ts'
import { checkOwner, fold, isAsLeft, mustOwn, type Opened } from './fold.ts'
import { GroupCommit } from './group-commit.ts'
import { load } from './load.ts'
import { Lock } from './lock.ts'
import { LogFile } from './log-file.ts'
import type { Rows } from './rows.ts'

/** A table below this length is folded after a quiet second, a longer one when the log has grown as long. In bytes. */
const SMALL = 1024 * 1024
/** How long nothing is written before a small table is folded, in milliseconds. */
const QUIET = 1000
/** How long after a failed fold the next one is tried, in milliseconds: twice as long each time, up to a minute. */
const FIRST_RETRY = 1000
const LAST_RETRY = 60_000

/** lowdb's adapter for a table of any size. It is open from `read` to `close`; before and after it touches no file. */
export class FileAdapter implements Adapter<Rows> {
  readonly #path: string
  readonly #onDue: () => void
  #opened: Opened | undefined
  #folds: Promise<void> = Promise.resolve()
  #isFolding = false
  #timer: NodeJS.Timeout | undefined
  /** Why the last fold failed, until one succeeds, and how long the next one waits then. */
  #failure: string | undefined
  #retryAfter = FIRST_RETRY

  /** `onDue` is called when it is time to fold. Nothing is opened yet. */
  constructor(path: string, onDue: () => void) {
    this.#path = path
    this.#onDue = onDue
  }

  get #open(): Opened {
    if (this.#opened === undefined) throw new StoreError(`${this.#path} is not open`)
    return this.#opened
  }

  /**
   * Takes the table's lock, loads the table, and moves what the log holds to a new log.
   * @throws {StoreError} when the table is damaged or not available; nothing is changed then
   */
  async read(): Promise<Rows> {
    const undo: (() => void | Promise<void>)[] = []
    try {
      const path = followLinks(this.#path)
      checkPlace(path)
      const lock = Lock.take(`${path}-lock`, ({ message }) => stop(message))
      undo.push(() => lock.release())
      const { rows, table, logs } = load(path)
      const directory = await open(dirname(path), 'r')
      undo.push(() => directory.close())
      const log = await LogFile.create(`${path}-wal`)
      undo.push(() => log.discard())
      for (const part of logs) await log.copyFrom(part.path, part.length)
      await log.sync()
      lock.check()
      await log.replace()
      await directory.sync()
      if (logs.some((part) => part.path !== log.path)) await unlink(`${path}-wal-old`)
      const commits = new GroupCommit((line) => this.#append(line))
      this.#opened = { path, directory, lock, log, table, commits }
      return rows
    } catch (error) {
      for (const step of undo.reverse()) {
        // What cannot be undone must not keep the lock from being given back.
        try {
          await step()
        } catch {}
      }
      throw error instanceof StoreError ? error : new StoreError(`cannot open ${this.#path}: ${messageOf(error)}`)
    }
  }

  /** Resolves when a changed row is durable. If it cannot be, calls `undo` and throws `StoreError`. */
  async append(user: User, undo: () => void): Promise<void> {
    if (this.#opened === undefined) undo()
    await this.#open.commits.add(user, undo)
  }

  /** Throws `StoreError` unless the table is open and still this process's own. */
  async check(): Promise<void> {
    // Not while a fold renames its log: the name leads to the next one before this process goes on with it.
    await this.#open.commits.inTurn(async () => checkOwner(this.#open))
  }

  /** Folds the log into the table, after any fold that is running. A failure is one line on stderr; the log stays as it is. */
  async write(rows: Rows): Promise<void> {
    this.#folds = this.#folds.then(() => this.#fold(rows))
    await this.#folds
  }

  /** Gives the table back. If the log could not be folded it stays, and the next start replays it. */
  async close(): Promise<void> {
    await this.#folds
    const opened = this.#open
    clearTimeout(this.#timer)
    try {
      await opened.commits.inTurn(async () => {
        this.#opened = undefined
        mustOwn(opened)
        if (opened.log.length === 0) opened.log.remove()
        await opened.log.close()
      })
      await opened.directory.close()
    } finally {
      opened.lock.release()
    }
  }

  async #append(line: string): Promise<void> {
    const opened = this.#open
    mustOwn(opened)
    await opened.log.append(line)
    mustOwn(opened)
    this.#schedule()
  }

  /** Has the log folded now or soon, unless a fold is running or about to be tried again. */
  #schedule(): void {
    if (this.#opened === undefined) return
    const { log, table } = this.#opened
    const tableLength = Number(table?.size ?? 0)
    if (this.#isFolding || this.#failure !== undefined || log.length === 0) return
    clearTimeout(this.#timer)
    if (log.length >= Math.max(SMALL, tableLength) || !isAsLeft(this.#opened)) this.#onDue()
    else if (tableLength < SMALL) this.#timer = setTimeout(this.#onDue, QUIET).unref()
  }

  async #fold(rows: Rows): Promise<void> {
    const opened = this.#opened
    await opened?.commits.inTurn(async () => {})
    // It may have been closed meanwhile.
    if (opened === undefined || this.#opened === undefined) return
    if (opened.log.length === 0 && isAsLeft(opened)) return
    clearTimeout(this.#timer)
    this.#isFolding = true
    try {
      await fold(opened, rows)
      this.#failure = undefined
      this.#retryAfter = FIRST_RETRY
    } catch (error) {
      const failure = messageOf(error)
      // The same reason again tells nothing new.
      if (failure !== this.#failure) {
        console.error(`cannot fold ${opened.log.path} into the table, trying again later: ${failure}`)
      }
      this.#failure = failure
      this.#timer = setTimeout(this.#onDue, this.#retryAfter).unref()
      this.#retryAfter = Math.min(this.#retryAfter * 2, LAST_RETRY)
    } finally {
      this.#isFolding = false
    }
    this.#schedule()
  }
}
