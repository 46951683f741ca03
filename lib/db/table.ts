/** The engine in memory: every change goes to the log, or is undone. */
import { Low, Memory } from 'lowdb'
import { TABLE, User } from '../../user.ts'
import { type Attributes, EmailTaken, type Engine } from './engine.ts'
import type { LogFile } from './log-file.ts'
import { Rows } from './rows.ts'
import type { Data } from './table-file.ts'

/** Rows in memory, every change handed to the log (if there is one) and undone should the log fail. */
export class Table implements Engine {
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

  /** Throws unless the files are still this process's own; rows in memory are always there. */
  check(): void {
    this.#log?.check()
  }

  /** How many rows there are. */
  count(): number {
    return this.#rows.all.length
  }

  /** Adds a row, with the next id. */
  async insert(email: string, hashed_password: string): Promise<User> {
    if (this.#rows.find({ email }) !== undefined) throw new EmailTaken(email)
    const user = new User({ id: this.#rows.lastId + 1, email, hashed_password })
    this.#rows.push(user)
    this.#rows.index(user)
    const copy = new User(user)
    await this.#write(user, () => this.#rows.pop(user))
    return copy
  }

  /** A copy of the first row that has all of the attributes. */
  find(attributes: Attributes): User | undefined {
    const user = this.#rows.find(attributes)
    return user && new User(user)
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
