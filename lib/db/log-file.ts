/** lowdb's adapter: append, group commit, fold. */
import { existsSync, lstatSync, readlinkSync, realpathSync, rmSync, statSync } from 'node:fs'
import { type FileHandle, open, rename, unlink } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { Adapter } from 'lowdb'
import { TABLE, User } from '../../user.ts'
import { messageOf, StoreError } from './engine.ts'
import { Lock } from './lock.ts'
import { Rows } from './rows.ts'
import {
  damaged,
  type Data,
  mustWork,
  type Page,
  readLog,
  readTable,
  sync,
  syncDirectory,
  toUserAt,
  writeTable,
} from './table-file.ts'

/** A changed row as a line of the log, and how to take the change back in memory should the log fail. */
type Change = { line: string; undo: () => void }

/** Changes that share one write and one sync. `doomed`: built on changes that have failed. */
type Batch = { changes: Change[]; done: Promise<void>; doomed?: StoreError }

/** A table below this length is folded after a quiet second, a longer one when the log has grown as long. In bytes. */
const SMALL = 1024 * 1024
/** How long a quiet second is, in milliseconds. */
const QUIET = 1000
/** How long after a fold that failed the next one is tried, in milliseconds. */
const FOLD_AGAIN = 10_000

/**
 * lowdb's adapter for a table of any size: `PATH` is the table, `PATH-wal` the log of the rows that have changed since. A row
 * in the log replaces the row with its id, so replaying a log over a newer table gives the same table; that is why a crash
 * between any two steps loses nothing.
 */
export class LogFile implements Adapter<Data> {
  /** What is read; the table above goes on with it. */
  readonly rows = new Rows()
  #path: string
  #lock: Lock | undefined
  #log: FileHandle | undefined
  #logLength = 0
  #tableLength = 0
  /** The batch that waits for the sync that runs now (group commit). */
  #next: Batch | undefined
  /** What touches the log takes its turn behind this. */
  #turn: Promise<unknown> = Promise.resolve()
  /** Batches and folds that have failed. */
  #failures = 0
  #folding: Promise<void> | undefined
  #quiet: NodeJS.Timeout | undefined
  #noFoldBefore = 0

  /** Nothing is read yet. */
  constructor(path: string) {
    this.#path = path
  }

  /** Reads the table and replays the logs over it. */
  async read(): Promise<Data> {
    try {
      this.#path = followLinks(this.#path)
      this.#lock = Lock.take(`${this.#path}-lock`, stop)
      const tornAt = this.#load()
      this.#log = await open(this.#wal, 'a', 0o600)
      if (tornAt !== undefined) await this.#log.truncate(tornAt)
      this.#logLength = (await this.#log.stat()).size
      await syncDirectory(this.#path)
    } catch (error) {
      this.#lock?.release()
      throw error instanceof StoreError ? error : new StoreError(`${this.#path}: ${messageOf(error)}`)
    }
    if (this.#isUnfolded()) void this.#fold()
    return { [TABLE]: this.rows.all }
  }

  /** Puts a changed row into the batch that the next `write` waits for. */
  change(user: User, undo: () => void): void {
    if (this.#next === undefined) {
      const batch: Batch = { changes: [], done: this.#inTurn(() => this.#append(batch)) }
      this.#next = batch
    }
    this.#next.changes.push({ line: `${JSON.stringify(user)}\n`, undo })
  }

  /** Throws unless the table is still this process's own. */
  check(): void {
    this.#lock?.check()
  }

  /** Resolves when all changes so far are on the disk. */
  async write(): Promise<void> {
    await this.#next?.done
  }

  /** Leaves the table alone with every row; should it not be possible to fold the log, that stays, and nothing is lost. */
  async close(): Promise<void> {
    await this.#turn
    await this.#folding
    const failures = this.#failures
    while (this.#isUnfolded() && failures === this.#failures) await this.#fold()
    clearTimeout(this.#quiet)
    await this.#log?.close()
    if (!this.#isUnfolded()) await unlink(this.#wal)
    this.#lock?.release()
  }

  /** The log's path. */
  get #wal(): string {
    return `${this.#path}-wal`
  }

  /** The log before this one; there is one only until a fold has ended. */
  get #oldWal(): string {
    return `${this.#path}-wal-old`
  }

  /** Tells whether the table is not all there is. */
  #isUnfolded(): boolean {
    return this.#logLength > 0 || existsSync(this.#oldWal)
  }

  /** All rows that are stored, in the order in which they count. */
  *#pages(): Generator<Page> {
    if (existsSync(this.#path)) yield* readTable(this.#path)
    for (const path of [this.#oldWal, this.#wal]) if (existsSync(path)) yield* readLog(path)
  }

  /** Reads everything; returns where in the log a torn record begins, if there is one. */
  #load(): number | undefined {
    let tornAt: number | undefined
    for (const page of this.#pages()) {
      if (page.path === this.#wal) tornAt = page.tornAt
      page.rows.forEach((row, i) => {
        const user = toUserAt(row, page, i)
        const known = user.id > this.rows.lastId ? undefined : this.rows.byId(user.id)
        if (known !== undefined && page.path === this.#path) throw damaged(page, i, `a second row with id ${user.id}`)
        if (known !== undefined) return void Object.assign(known, user)
        this.rows.push(user)
      })
    }
    // Only now: in between, a log that is replayed over a newer table may have given one email to two.
    for (const user of this.rows.all) if (!this.rows.index(user)) throw this.#second(user)
    this.#tableLength = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0
    return tornAt
  }

  /** The error for an email that two rows have; finds the line of the second one. */
  #second({ id, email }: User): StoreError {
    let error = new StoreError('')
    for (const page of this.#pages()) {
      page.rows.forEach((row, i) => {
        if (new User(row).id === id) error = damaged(page, i, `a second row with email ${email}`)
      })
    }
    return error
  }

  /** Runs a task when all that took its turn before has ended, well or not. */
  #inTurn(task: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(task)
    this.#turn = done.catch(() => {})
    return done
  }

  /** Writes a batch to the log and syncs it, or takes it back. */
  async #append(batch: Batch): Promise<void> {
    if (batch.doomed !== undefined) throw batch.doomed
    this.#next = undefined
    this.#checkLock()
    const bytes = Buffer.from(batch.changes.map(({ line }) => line).join(''))
    try {
      await this.#log?.appendFile(bytes)
    } catch (error) {
      const failed = new StoreError(`cannot write ${this.#wal}: ${messageOf(error)}`)
      this.#undo(batch, failed)
      if (this.#log !== undefined) await mustWork(this.#log.truncate(this.#logLength), `undo a write to ${this.#wal}`)
      throw failed
    }
    if (this.#log !== undefined) await sync(this.#log, this.#wal)
    this.#checkLock()
    this.#logLength += bytes.length
    this.#scheduleFold()
  }

  /** Ends the process unless it still has its table: nobody is told 200 for what another process may not see. */
  #checkLock(): void {
    try {
      this.#lock?.check()
    } catch (error) {
      stop(error)
    }
  }

  /** Takes back, last first, what has failed and what was built on it. */
  #undo(batch: Batch, failed: StoreError): void {
    this.#failures++
    const changes = [...batch.changes, ...(this.#next?.changes ?? [])]
    if (this.#next !== undefined) this.#next.doomed = failed
    this.#next = undefined
    for (const { undo } of changes.reverse()) undo()
  }

  /** Has the log folded when it is long enough, or soon. */
  #scheduleFold(): void {
    clearTimeout(this.#quiet)
    if (this.#logLength >= Math.max(SMALL, this.#tableLength)) {
      if (Date.now() >= this.#noFoldBefore) void this.#fold()
    } else if (this.#tableLength < SMALL) this.#quiet = setTimeout(() => void this.#fold(), QUIET).unref()
  }

  /** Folds the log into the table, unless that goes on already. A failure is said, and leaves the log as it is. */
  #fold(): Promise<void> {
    this.#folding ??= this.#foldOnce()
      .catch((error) => {
        this.#failures++
        this.#noFoldBefore = Date.now() + FOLD_AGAIN
        // On a full disk, half a table is what others could use.
        rmSync(`${this.#path}-tmp`, { force: true })
        console.error(`cannot fold ${this.#wal} into the table, trying again later: ${messageOf(error)}`)
      })
      .finally(() => (this.#folding = undefined))
    return this.#folding
  }

  /** Writes a new table in place of the old one and the old log. */
  async #foldOnce(): Promise<void> {
    await this.#inTurn(() => this.#rotate())
    const failures = this.#failures
    const temporary = `${this.#path}-tmp`
    const mode = statSync(this.#path, { throwIfNoEntry: false })?.mode ?? 0o600
    const length = await writeTable(temporary, this.rows.all, mode)
    // A row may have been taken while its change was on its way to the log. Here it has arrived, or was undone.
    await this.#inTurn(async () => {})
    if (failures !== this.#failures) throw new Error('a change that may be in it was undone')
    await rename(temporary, this.#path)
    await syncDirectory(this.#path)
    await unlink(this.#oldWal)
    this.#tableLength = length
  }

  /** Starts a new log, so that the old one can be dropped as a whole when the table holds all of it. */
  async #rotate(): Promise<void> {
    if (!existsSync(this.#oldWal)) await rename(this.#wal, this.#oldWal)
    if (existsSync(this.#wal)) return
    const old = this.#log
    this.#log = await open(this.#wal, 'a', 0o600)
    this.#logLength = 0
    await syncDirectory(this.#path)
    await old?.close()
  }
}

/** Says in one line why the process ends, and ends it. */
function stop(error: unknown): never {
  console.error(messageOf(error))
  process.exit(1)
}

/** Where a path leads, also when there is nothing yet: whoever takes another way there has to meet the same lock. */
function followLinks(path: string): string {
  const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()
  if (existsSync(path)) return realpathSync(path)
  return isLink ? resolve(dirname(path), readlinkSync(path)) : path
}
