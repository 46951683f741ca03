/**
 * The store (tasks 1 to 3): rows in, rows out. It knows nothing of passwords, sessions or HTTP. `DB` is its face; behind it
 * is `Table`, the rows in memory with an index for each column that is searched by, over lowdb's `Low`; and behind that, for
 * `file:`, `LogFile`, which makes every change durable at the cost of one row. `Postgres`, at the end, is `Table`'s equal for
 * more than one machine.
 */
import { isUtf8 } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  rmSync,
  statSync,
  utimes,
  writeSync,
} from 'node:fs'
import { type FileHandle, open, rename, unlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Adapter, Low, Memory } from 'lowdb'
import type { Sql } from 'postgres'
import { checkValue, COLUMNS, isColumn, TABLE, toUser, type User, ValueError } from './user.ts'

/** No row has all of the attributes; named after SQLAlchemy's exception. */
export class NoResultFound extends Error {
  override name = 'NoResultFound'
}

/** A search by something that is no column, or by nothing; named after SQLAlchemy's exception. */
export class InvalidRequestError extends Error {
  override name = 'InvalidRequestError'
}

/** The email is in the table already, whatever its case. */
export class EmailTaken extends Error {
  override name = 'EmailTaken'
}

/** The store cannot be opened, or cannot write now; the message is one line for people. Nothing was changed. */
export class StoreError extends Error {
  override name = 'StoreError'
}

/** Some columns and their values. */
export type Attributes = Partial<User>

/** What a store has to do; `DB` has checked the attributes. */
interface Engine {
  open(): Promise<void>
  close(): Promise<void>
  count(): Promise<number> | number
  /** Throws `EmailTaken`. */
  insert(email: string, hashedPassword: string): Promise<User>
  find(attributes: Attributes): Promise<User | undefined> | User | undefined
  /** Tells whether there was such a row; throws `EmailTaken`. */
  update(userId: number, attributes: Attributes, expected: Attributes): Promise<boolean>
}

/** The users, behind three methods. Which store is behind them nobody above this file can tell. */
export class DB {
  readonly #engine: Engine

  /**
   * @param url `file:PATH`, `memory:` or `postgres://…`
   * @throws {ValueError} when it is none of these
   */
  constructor(url: string) {
    this.#engine = engineFor(url)
  }

  /**
   * Opens the store; to be called once, before anything else.
   * @throws {StoreError} when it cannot be read, is damaged, or belongs to another process; it is left as it was
   */
  open(): Promise<void> {
    return this.#engine.open()
  }

  /** Closes the store; everything that was acknowledged is in it. */
  close(): Promise<void> {
    return this.#engine.close()
  }

  /** How many rows there are. */
  async countUsers(): Promise<number> {
    return this.#engine.count()
  }

  /**
   * Adds a row (task 1).
   * @throws {EmailTaken} when the email is there already: of two registrations at once, one wins
   * @throws {ValueError} when a column cannot hold the value
   */
  async addUser(email: string, hashedPassword: string): Promise<User> {
    checkValue('email', email)
    checkValue('hashed_password', hashedPassword)
    return this.#engine.insert(email, hashedPassword)
  }

  /**
   * The first user that has all of the attributes (task 2); an email matches whatever its case.
   * @throws {NoResultFound} when there is none
   * @throws {InvalidRequestError} when an attribute is no column, or when there is no attribute
   */
  async findUserBy(attributes: Attributes): Promise<User> {
    let isEmpty = true
    for (const name of Object.keys(attributes)) {
      if (!isColumn(name)) throw new InvalidRequestError(`${name} is no column`)
      isEmpty = false
    }
    if (isEmpty) throw new InvalidRequestError('nothing to search by')
    const found = this.#engine.find(attributes)
    const user = found instanceof Promise ? await found : found
    if (user === undefined) throw new NoResultFound(`no user with this ${Object.keys(attributes).join(', ')}`)
    return user
  }

  /**
   * Changes columns of one row (task 3). With `expected`, only while the row still has those values: of several uses of one
   * reset token at once, one wins.
   * @throws {ValueError} when an attribute is no column, or its column cannot hold the value; nothing is changed
   * @throws {EmailTaken} when another user has the email
   * @throws {NoResultFound} when there is no such user, or not as expected
   */
  async updateUser(userId: number, attributes: Attributes, expected: Attributes = {}): Promise<void> {
    for (const [name, value] of Object.entries(attributes)) {
      if (!isColumn(name)) throw new ValueError(`${name} is no column`)
      if (name === 'id' && value !== userId) throw new ValueError('an id does not change')
      checkValue(name, value)
    }
    if (!(await this.#engine.update(userId, attributes, expected)))
      throw new NoResultFound(`no user ${userId} as expected`)
  }
}

/** The store for a URL; nothing is opened yet. */
function engineFor(url: string): Engine {
  if (url === 'memory:') return new Table(null)
  if (/^postgres(ql)?:\/\//.test(url)) return new Postgres(url)
  const path = /^file:(?:\/\/)?(.+)$/s.exec(url)?.[1]
  if (path === undefined)
    throw new ValueError('expected file:PATH, memory: or postgres://USER:PASSWORD@HOST:PORT/DATABASE')
  return new Table(new LogFile(path))
}

/** The shape of `users.json`. */
type Data = { [TABLE]: User[] }

/** Rows in memory, every change handed to the log (if there is one) and undone should the log fail. */
class Table implements Engine {
  readonly #log: LogFile | null
  readonly #low: Low<Data>
  readonly #rows: Rows

  /** Without a log the rows are in memory only. */
  constructor(log: LogFile | null) {
    this.#log = log
    this.#rows = log?.rows ?? new Rows()
    this.#low = new Low<Data>(log ?? new Memory(), { [TABLE]: this.#rows.all })
  }

  /** Reads what the log and its table hold. */
  open(): Promise<void> {
    return this.#low.read()
  }

  /** Closes the log. */
  async close(): Promise<void> {
    await this.#log?.close()
  }

  /** How many rows there are. */
  count(): number {
    return this.#rows.all.length
  }

  /** Adds a row, with the next id. */
  async insert(email: string, hashed_password: string): Promise<User> {
    if (this.#rows.find({ email }) !== undefined) throw new EmailTaken(email)
    const user = toUser({ id: this.#rows.lastId + 1, email, hashed_password })
    this.#rows.push(user)
    this.#rows.index(user)
    const copy = { ...user }
    await this.#write(user, () => this.#rows.pop(user))
    return copy
  }

  /** A copy of the first row that has all of the attributes. */
  find(attributes: Attributes): User | undefined {
    const user = this.#rows.find(attributes)
    return user && { ...user }
  }

  /** Changes a row at once, so that who comes next sees it, and waits for the disk. */
  async update(userId: number, attributes: Attributes, expected: Attributes): Promise<boolean> {
    const user = this.#rows.find({ ...expected, id: userId })
    if (user === undefined) return false
    const { email } = attributes
    if (email !== undefined && (this.#rows.find({ email }) ?? user) !== user) throw new EmailTaken(email)
    const before = { ...user }
    this.#rows.change(user, attributes)
    await this.#write(user, () => this.#rows.change(user, before))
    return true
  }

  /** Resolves when the row is durable; should that fail, it is undone. */
  #write(user: User, undo: () => void): Promise<void> {
    this.#log?.change(user, undo)
    return this.#low.write()
  }
}

/** All rows, and the ways to find one at once. */
class Rows {
  readonly all: User[] = []
  lastId = 0
  /** By id, but only those that do not stand at the place of their id. */
  readonly #strays = new Index()
  readonly #indexes = { email: new Index(emailKey), session_id: new Index(), reset_token: new Index() }

  /** Adds a row that cannot be found yet except by its id. */
  push(user: User): void {
    if (this.all.push(user) !== user.id) this.#strays.set(user.id, user)
    this.lastId = Math.max(this.lastId, user.id)
  }

  /** Takes back the row that was pushed last. */
  pop(user: User): void {
    this.unindex(user)
    this.#strays.delete(user.id)
    this.all.pop()
    this.lastId--
  }

  /** The row with this id, most often at the place of its id. */
  byId(id: number): User | undefined {
    const user = this.all[id - 1]
    return user?.id === id ? user : this.#strays.get(id)
  }

  /** The first row that has all of the attributes. */
  find(attributes: Attributes): User | undefined {
    const { id, email, session_id, reset_token } = attributes
    let user: User | undefined
    if (id !== undefined) user = this.byId(id)
    else if (email !== undefined) user = this.#indexes.email.get(email)
    else if (typeof session_id === 'string') user = this.#indexes.session_id.get(session_id)
    else if (typeof reset_token === 'string') user = this.#indexes.reset_token.get(reset_token)
    else return this.all.find((user) => hasAll(user, attributes))
    return user && hasAll(user, attributes) ? user : undefined
  }

  /** Changes a row, and how it is found. */
  change(user: User, attributes: Attributes): void {
    this.unindex(user)
    Object.assign(user, attributes)
    this.index(user)
  }

  /** Tells whether the email is new. */
  index(user: User): boolean {
    if (user.session_id !== null) this.#indexes.session_id.set(user.session_id, user)
    if (user.reset_token !== null) this.#indexes.reset_token.set(user.reset_token, user)
    return this.#indexes.email.set(user.email, user)
  }

  /** Makes a row one that is found by its id only. */
  unindex({ email, session_id, reset_token }: User): void {
    this.#indexes.email.delete(email)
    if (session_id !== null) this.#indexes.session_id.delete(session_id)
    if (reset_token !== null) this.#indexes.reset_token.delete(reset_token)
  }
}

/** Tells whether a row has all of the attributes. */
function hasAll(user: User, attributes: Attributes): boolean {
  for (const name in attributes) {
    if (!isColumn(name)) return false
    if (user[name] !== attributes[name] && (name !== 'email' || emailKey(user.email) !== emailKey(attributes.email)))
      return false
  }
  return true
}

/** The form in which emails are compared: whatever their case. */
function emailKey(value: unknown): unknown {
  // Lower case has two small sigmas, of which the capital one means both.
  return typeof value === 'string' ? value.toLowerCase().replaceAll('ς', 'σ') : value
}

/**
 * From a value to the row that has it. A thousand small Maps, as one large Map stands still for a tenth of a second whenever
 * it grows or sweeps out what was deleted.
 */
class Index {
  readonly #shards = Array.from({ length: 1024 }, () => new Map<unknown, User>())
  readonly #keyOf: (value: unknown) => unknown

  /** `keyOf` gives the form in which values are compared. */
  constructor(keyOf = (value: unknown) => value) {
    this.#keyOf = keyOf
  }

  /** The row that has the value. */
  get(value: unknown): User | undefined {
    const key = this.#keyOf(value)
    return this.#shardOf(key)?.get(key)
  }

  /** Tells whether the value is new. */
  set(value: unknown, user: User): boolean {
    const key = this.#keyOf(value)
    const shard = this.#shardOf(key)
    const before = shard?.size
    return shard?.set(key, user).size !== before
  }

  /** Forgets a value. */
  delete(value: unknown): void {
    const key = this.#keyOf(value)
    this.#shardOf(key)?.delete(key)
  }

  /** The small Map that a key belongs to. */
  #shardOf(key: unknown): Map<unknown, User> | undefined {
    let hash = 0
    if (typeof key === 'string') for (let i = 0; i < key.length; i++) hash = (hash * 31 + key.charCodeAt(i)) | 0
    else hash = Number(key)
    return this.#shards[hash & 1023]
  }
}

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
/** For how long the rows of one slice of a fold are put together, in milliseconds. */
const SLICE = 2

/**
 * lowdb's adapter for a table of any size: `PATH` is the table, `PATH-wal` the log of the rows that have changed since. A row
 * in the log replaces the row with its id, so replaying a log over a newer table gives the same table; that is why a crash
 * between any two steps loses nothing.
 */
class LogFile implements Adapter<Data> {
  /** What is read; the table above goes on with it. */
  readonly rows = new Rows()
  #path: string
  #release = () => {}
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
      this.#release = claim(`${this.#path}-lock`)
      const tornAt = this.#load()
      this.#log = await open(this.#wal, 'a', 0o600)
      if (tornAt !== undefined) await this.#log.truncate(tornAt)
      this.#logLength = (await this.#log.stat()).size
      await syncDirectory(this.#path)
    } catch (error) {
      this.#release()
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
    this.#release()
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
        if (toUser(row).id === id) error = damaged(page, i, `a second row with email ${email}`)
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
    this.#logLength += bytes.length
    this.#scheduleFold()
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

/** Where a path leads, also when there is nothing yet: whoever takes another way there has to meet the same lock. */
function followLinks(path: string): string {
  const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()
  if (existsSync(path)) return realpathSync(path)
  return isLink ? resolve(dirname(path), readlinkSync(path)) : path
}

/** Some rows of a file, and the line where each begins. `tornAt`: the offset of a torn record behind them. */
type Page = { path: string; rows: unknown[]; lines: number[]; tornAt?: number }

/** How much is read at a time; no row is longer. In bytes. */
const PIECE = 64 * 1024

/** The rows of a table, however it is laid out. It may be longer than any string can be. */
function* readTable(path: string): Generator<Page> {
  /** Bytes not used yet, from the end of the last complete row on; the line on which they begin; whether there was a row. */
  let rest: Buffer = Buffer.alloc(0)
  let line = 1
  let isFirst = true
  for (const piece of readPieces(path)) {
    const data = Buffer.concat([rest, piece])
    const { page, end, lineAtEnd } =
      readOwnLayout(path, data, line, isFirst) ?? readAnyLayout(path, data, line, isFirst)
    if (page !== undefined) yield page
    else if (data.length > 2 * PIECE) throw damaged({ path, rows: [], lines: [line] }, 0, 'no end of the row')
    if (page !== undefined) isFirst = false
    ;[rest, line] = [data.subarray(end), lineAtEnd]
  }
  const tail = rest.toString()
  if ((isFirst ? /^\s*\{\s*"users"\s*:\s*\[\s*\]\s*\}\s*$/ : /^\s*\]\s*\}\s*$/).test(tail)) return
  // Up to the row that has no end, or else to the end of what there is.
  const place = /^\s*,\s*(?=\{)/.exec(tail)?.[0] ?? tail.trimEnd()
  line += place.split('\n').length - 1
  throw damaged({ path, rows: [], lines: [line] }, 0, 'no end of the table')
}

/** The complete rows at the beginning of the data, where they end, and on which line. */
type Layout = { page: Page | undefined; end: number; lineAtEnd: number }

/** Rows that are one a line, as `writeTable` lays them out: a line end is never in a string, so the last one is a safe cut. */
function readOwnLayout(path: string, data: Buffer, line: number, isFirst: boolean): Layout | undefined {
  const before = isFirst ? `{"${TABLE}":[\n{"id":` : ',\n{"id":'
  const end = data.lastIndexOf('},\n') + 1
  if (end === 0 || data.toString('latin1', 0, before.length) !== before) return undefined
  const bytes = data.subarray(data.indexOf('\n') + 1, end)
  if (!isUtf8(bytes)) return undefined
  try {
    const rows: unknown[] = JSON.parse(`[${bytes.toString()}]`)
    return { page: { path, rows, lines: rows.map((_, i) => line + 1 + i) }, end, lineAtEnd: line + rows.length }
  } catch {
    return undefined
  }
}

/** Rows wherever their braces are. */
function readAnyLayout(path: string, data: Buffer, line: number, isFirst: boolean): Layout {
  const [starts, ends, lines]: [number[], number[], number[]] = [[], [], []]
  let depth = isFirst ? 0 : 1
  let [inString, escaped, lineAtEnd] = [false, false, line]
  for (let i = 0; i < data.length; i++) {
    const byte = data[i]
    if (escaped) escaped = false
    else if (inString) {
      if (byte === 0x22) inString = false
      else if (byte === 0x5c) escaped = true
    } else if (byte === 0x22) inString = true
    else if (byte === 0x0a) line++
    else if (byte === 0x7b && ++depth === 2) {
      starts.push(i)
      lines.push(line)
    } else if (byte === 0x7d && depth-- === 2) {
      ends.push(i + 1)
      lineAtEnd = line
    }
  }
  const end = ends.at(-1)
  if (end === undefined) return { page: undefined, end: 0, lineAtEnd }
  const page = { path, rows: [], lines: lines.slice(0, ends.length) }
  const before = isFirst ? /^\s*\{\s*"users"\s*:\s*\[\s*$/ : /^\s*,\s*$/
  if (!before.test(data.toString('utf8', 0, starts[0]))) throw damaged(page, 0, 'no readable row')
  return { page: parsePage(page, data, starts, ends, ','), end, lineAtEnd }
}

/** The rows of a log, one a line; a last line without an end is torn. */
function* readLog(path: string): Generator<Page> {
  let rest: Buffer = Buffer.alloc(0)
  let [line, offset] = [1, 0]
  for (const piece of readPieces(path)) {
    const data = Buffer.concat([rest, piece])
    const [starts, ends, lines]: [number[], number[], number[]] = [[], [], []]
    let start = 0
    for (let end = data.indexOf(0x0a); end >= 0; end = data.indexOf(0x0a, start)) {
      starts.push(start)
      ends.push(end)
      lines.push(line++)
      start = end + 1
    }
    if (ends.length > 0) yield parsePage({ path, rows: [], lines }, data, starts, ends, '\n')
    rest = data.subarray(start)
    offset += start
  }
  if (rest.length === 0) return
  console.error(
    `${path}, line ${line}: dropped a torn record, the last one before a crash; nobody was told it is stored`,
  )
  yield { path, rows: [], lines: [], tornAt: offset }
}

/** Parses rows all at once; only where that fails one by one, to find the one that is damaged. */
function parsePage(page: Page, data: Buffer, starts: number[], ends: number[], separator: ',' | '\n'): Page {
  const bytes = data.subarray(starts[0], ends.at(-1))
  try {
    const text = separator === ',' ? bytes.toString() : bytes.toString().replaceAll(separator, ',')
    const rows: unknown[] = isUtf8(bytes) ? JSON.parse(`[${text}]`) : []
    if (rows.length === ends.length) return { ...page, rows }
  } catch {}
  const utf8 = new TextDecoder('utf-8', { fatal: true })
  const broken = ends.findIndex((end, i) => {
    try {
      JSON.parse(utf8.decode(data.subarray(starts[i], end)))
      return i > 0 && data.toString('utf8', ends[i - 1], starts[i]).trim() !== separator.trim()
    } catch {
      return true
    }
  })
  throw damaged(page, Math.max(broken, 0), 'no readable row')
}

/** The bytes of a file, piece by piece; the last piece is empty. */
function* readPieces(path: string): Generator<Buffer> {
  const file = openSync(path, 'r')
  try {
    for (;;) {
      const piece = Buffer.allocUnsafe(PIECE)
      const length = readSync(file, piece)
      yield piece.subarray(0, length)
      if (length === 0) return
    }
  } finally {
    closeSync(file)
  }
}

/** `toUser` for row `i` of a page; the error names its place. */
function toUserAt(row: unknown, page: Page, i: number): User {
  try {
    return toUser(row)
  } catch (error) {
    throw damaged(page, i, messageOf(error))
  }
}

/** The error for damage at row `i` of a page. */
function damaged({ path, lines }: Page, i: number, message: string): StoreError {
  return new StoreError(`${path}, line ${lines[i]}: ${message}`)
}

/** Writes a table, one row a line, in slices beside the traffic, and syncs it; returns its length. */
async function writeTable(path: string, users: User[], mode: number): Promise<number> {
  const file = await open(path, 'w', mode)
  try {
    let text = `{"${TABLE}":[`
    let length = 0
    for (let i = 0; i < users.length;) {
      const end = performance.now() + SLICE
      while (i < users.length && performance.now() < end) text += `${i === 0 ? '' : ','}\n${JSON.stringify(users[i++])}`
      await file.appendFile(text)
      length += Buffer.byteLength(text)
      text = ''
    }
    text += '\n]}\n'
    await file.appendFile(text)
    // Whatever the umask is, and whatever a crash has left behind under this name.
    await file.chmod(mode & 0o777)
    await sync(file, path)
    return length + text.length
  } finally {
    await file.close()
  }
}

/** Makes a file's name durable: what was created in or renamed into its directory is there after a power cut. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(dirname(path), 'r')
  await sync(directory, dirname(path))
  await directory.close()
}

/** Makes written bytes durable. Not tried again: after a failed fsync the page cache may call lost data clean. */
async function sync(file: FileHandle, path: string): Promise<void> {
  await mustWork(file.datasync(), `sync ${path}`)
}

/** Waits for a step; should it fail, what memory and disk hold may differ from then on, and that ends the process. */
async function mustWork(step: Promise<void>, what: string): Promise<void> {
  try {
    await step
  } catch (error) {
    console.error(`cannot ${what}: ${messageOf(error)}; stopping, start again to go on with what is on the disk`)
    process.exit(1)
  }
}

/** The message of whatever was thrown. */
function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Who wants a table: a process, when it was started, and on which machine or in which container it is. */
type Claim = { pid: number; started: string; place: string; id: string }

/** Process ids mean something only here: on this host, and in this container. */
const PLACE = `${hostname()} ${statSync('/proc/self/ns/pid', { throwIfNoEntry: false })?.ino}`
/** How old the lock of a process elsewhere is when that process is taken for dead, in milliseconds. */
const STALE = 10_000

/**
 * Claims a table for this process; returns what gives it back. Every claimant adds a line to the lock file, and the first
 * one that lives has the table: so nobody has to take over the lock of a killed process, at which two could meet.
 * @throws {StoreError} when another process has it
 */
function claim(path: string): () => void {
  const mine: Claim = { pid: process.pid, started: startOf(process.pid), place: PLACE, id: randomUUID() }
  for (;;) {
    const file = openSync(path, 'a+', 0o600)
    try {
      // The look comes before the line, which makes the file look touched.
      const dead = readClaims(path).filter((claim) => !isAlive(claim, path))
      const checkFirst = () => {
        const owner = readClaims(path).find(({ id }) => !dead.some((claim) => claim.id === id))
        if (owner !== undefined && owner.id !== mine.id) {
          throw new StoreError(`${path}: process ${owner.pid} on ${owner.place} has this table; stop it first`)
        }
      }
      checkFirst()
      // Between two line ends: a torn line before it, from a full disk, is not glued to it.
      writeSync(file, `\n${JSON.stringify(mine)}\n`)
      checkFirst()
      // An owner that stops removes the file; a claim in a file that is no longer there is none.
      if (statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(file).ino) break
    } finally {
      closeSync(file)
    }
  }
  const heartbeat = setInterval(() => utimes(path, new Date(), new Date(), () => {}), STALE / 4).unref()
  return () => {
    clearInterval(heartbeat)
    rmSync(path, { force: true })
  }
}

/** The claims in a lock file, the oldest first, without lines that are empty or torn. */
function readClaims(path: string): Claim[] {
  return readFileSync(path, 'utf8').split('\n').flatMap(parseClaim)
}

/** The claim on a line of the lock file; none on an empty or torn one. */
function parseClaim(line: string): Claim[] {
  try {
    const claim: Claim | null = JSON.parse(line)
    return typeof claim?.id === 'string' ? [claim] : []
  } catch {
    return []
  }
}

/** Tells whether a claimant is still there; one elsewhere shows it by touching the lock file. */
function isAlive({ pid, started, place }: Claim, path: string): boolean {
  if (place !== PLACE) return statSync(path).mtimeMs > Date.now() - STALE
  return startOf(pid) === started
}

/** When a process was started: another one may have its id by now. Where the system does not say, whether it is there. */
function startOf(pid: number): string {
  try {
    const [state, ...fields] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? []
    return `${state === 'Z'} ${fields[18]}`
  } catch {}
  try {
    process.kill(pid, 0)
    return 'alive'
  } catch {
    return 'dead'
  }
}

/** The columns, as a statement lists them. */
const NAMES = Object.keys(COLUMNS).join(', ')

/** How long a statement may take, in milliseconds, before the database gives it up, */
const STATEMENT_TIMEOUT = 3000
/** and before its connection is given up, as nothing comes back on it any more. */
const HANG_TIMEOUT = 4000

/** The same three methods over SQL, for any number of processes: the database decides who comes first. */
class Postgres implements Engine {
  readonly #url: string
  readonly #connections: number
  #sql: Sql | undefined
  /** The sessions that wait for a statement that looks for them, and the statement before it. */
  #lookup: { ids: string[]; found: Promise<Map<string | null, User>> } | undefined
  #lastLookup: Promise<unknown> = Promise.resolve()
  #connect: () => Sql | undefined = () => undefined

  /** @param url the driver's, with `?max=N` for the number of connections (10 if there is none) */
  constructor(url: string) {
    const max = URL.canParse(url) ? (new URL(url).searchParams.get('max') ?? '10') : ''
    if (!/^[1-9]\d{0,2}$/.test(max)) throw new ValueError('expected postgres://USER:PASSWORD@HOST:PORT/DATABASE?max=10')
    this.#url = url
    this.#connections = Number(max)
  }

  /** Makes the table unless it is there; to one that the Python original made, it adds what is missing. */
  async open(): Promise<void> {
    const { default: postgres } = await import('postgres').catch(() => {
      throw new StoreError('the driver for PostgreSQL is missing: get it with npm install postgres')
    })
    this.#connect = () =>
      postgres(this.#url, {
        max: this.#connections,
        connect_timeout: STATEMENT_TIMEOUT / 1000,
        backoff: () => 0.5,
        fetch_types: false,
        onnotice: () => {},
        connection: { statement_timeout: STATEMENT_TIMEOUT },
        // The expiries: Unix seconds are exact as numbers.
        types: { bigint: { to: 20, from: [20], serialize: String, parse: Number } },
      })
    this.#sql = this.#connect()
    try {
      await this.#sql?.begin(async (sql) => {
        // An index on a large table takes its time. One process makes it, as IF NOT EXISTS fails where two of them meet.
        await sql`set local statement_timeout = 0`
        await sql`select pg_advisory_xact_lock(hashtext('users'))`
        await sql`create table if not exists users (id serial primary key, email varchar(250) not null,
          hashed_password varchar(250) not null, session_id varchar(250), reset_token varchar(250))`
        await sql`alter table users add column if not exists session_expires_at bigint,
          add column if not exists reset_expires_at bigint`
        await sql`create unique index if not exists users_email on users (lower(email))`
        await sql`create index if not exists users_session_id on users (session_id)`
        await sql`create index if not exists users_reset_token on users (reset_token)`
      })
    } catch (error) {
      await this.close()
      throw new StoreError(`cannot open the database: ${messageOf(error)}`)
    }
  }

  /** Adds rows as they are to an empty table, all or none. */
  async fill(users: User[]): Promise<void> {
    await this.#sql?.begin(async (sql) => {
      await sql`lock table users`
      const [some] = await sql`select from users limit 1`
      if (some !== undefined) throw new StoreError('the database has users already; nothing was changed')
      for (let i = 0; i < users.length; i += 1000) await sql`insert into users ${sql(users.slice(i, i + 1000))}`
      await sql`select setval(pg_get_serial_sequence('users', 'id'), max(id)) from users`
    })
  }

  /** Closes the connections when what runs on them has ended. */
  async close(): Promise<void> {
    await this.#sql?.end({ timeout: HANG_TIMEOUT / 1000 })
  }

  /** How many rows there are. */
  async count(): Promise<number> {
    return (await this.#run('select count(*) as id from users', []))[0]?.id ?? 0
  }

  /** Adds a row; the unique index decides whether the email is new. */
  async insert(email: string, hashed_password: string): Promise<User> {
    const text = `insert into users (email, hashed_password) values ($1, $2) returning ${NAMES}`
    return toUser((await this.#run(text, [email, hashed_password]))[0])
  }

  /** The first row that has all of the attributes. */
  async find(attributes: Attributes): Promise<User | undefined> {
    // No text in PostgreSQL holds a NUL, so no row has it.
    if (attributes.email?.includes('\0')) return undefined
    const { session_id, ...others } = attributes
    if (typeof session_id === 'string' && Object.keys(others).length === 0) return this.#findSession(session_id)
    const values: Value[] = []
    const where = allOf(attributes, values)
    const [user] = await this.#run(`select ${NAMES} from users where ${where} order by id limit 1`, values)
    return user && { ...user }
  }

  /** Every request looks for a session: those that come while such a statement runs share the next one. */
  async #findSession(session_id: string): Promise<User | undefined> {
    if (this.#lookup === undefined) {
      const ids: string[] = []
      const found = this.#lastLookup.then(async () => {
        this.#lookup = undefined
        const text = `select ${NAMES} from users where session_id = any(string_to_array($1, ',')) order by id desc`
        const users = await this.#run(text, [ids.join()])
        return new Map(users.map((user) => [user.session_id, user]))
      })
      this.#lastLookup = found.catch(() => {})
      this.#lookup = { ids, found }
    }
    this.#lookup.ids.push(session_id)
    const user = (await this.#lookup.found).get(session_id)
    return user && { ...user }
  }

  /** Changes a row in one statement, so that the condition still holds when it does. */
  async update(userId: number, attributes: Attributes, expected: Attributes): Promise<boolean> {
    const values: Value[] = []
    const set = Object.entries({ id: userId, ...attributes }).map(([name, value]) => `${name} = $${values.push(value)}`)
    const where = allOf({ ...expected, id: userId }, values)
    return (await this.#run(`update users set ${set} where ${where} returning id`, values)).length > 0
  }

  /**
   * Runs a statement, prepared once for each connection. One that hangs is given up with all connections: what they wait for
   * might never come.
   * @throws {StoreError} when the database is away or does not answer in time
   */
  async #run(text: string, values: Value[]): Promise<User[]> {
    const sql = this.#sql
    if (sql === undefined) throw new StoreError('the database is not open')
    let timer: NodeJS.Timeout | undefined
    const hang = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        if (this.#sql === sql) this.#sql = this.#connect()
        void sql.end({ timeout: 0 })
        reject(new StoreError(`the database has not answered for ${HANG_TIMEOUT / 1000} seconds`))
      }, HANG_TIMEOUT)
    })
    try {
      return await Promise.race([sql.unsafe<User[]>(text, values, { prepare: true }), hang])
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === '23505') throw new EmailTaken()
      throw error instanceof StoreError ? error : new StoreError(`the database: ${messageOf(error)}`)
    } finally {
      clearTimeout(timer)
    }
  }
}

/** What a column may hold, as a parameter of a statement. */
type Value = string | number | null

/** The condition that a row has all of the attributes. The text has the names of columns in it, and never a value. */
function allOf(attributes: Attributes, values: Value[]): string {
  const conditions = Object.entries(attributes).map(([name, value]) => {
    if (value === null) return `${name} is null`
    const parameter = `$${values.push(value)}`
    return name === 'email' ? `lower(email) = lower(${parameter})` : `${name} = ${parameter}`
  })
  return conditions.join(' and ')
}

/**
 * Carries all users of a table file into an empty database, with their ids, passwords and sessions; all or none.
 * @returns how many they are
 * @throws {StoreError} when the file cannot be read, or the database has users already
 */
export async function moveUsers(path: string, url: string): Promise<number> {
  if (![path, `${path}-wal`].some((file) => existsSync(file))) throw new StoreError(`${path}: no such file`)
  const log = new LogFile(path)
  const { users } = await log.read()
  const database = new Postgres(url)
  try {
    await database.open()
    await database.fill(users)
    return users.length
  } finally {
    await database.close()
    await log.close()
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    const [path = '', url = ''] = process.argv.slice(2)
    console.log(`${await moveUsers(path, url)} users moved from ${path} into the database`)
  } catch (error) {
    console.error(messageOf(error))
    process.exitCode = 1
  }
}
