/**
 * The engine in memory. A change is made here first, so that the next call sees it; then its row, as JSON, joins a
 * batch (group-commit.ts), which is appended to the log and synced (log-file.ts). Only then does the call return, and
 * the server reply. If the log fails, the change is undone, and the call throws `StoreError`.
 */
import { Low, Memory } from 'lowdb'
import { canHold, User } from '../../user.ts'
import { type Attributes, EmailTaken, type Engine, StoreError } from './engine.ts'
import { FileAdapter, PAUSES } from './file-adapter.ts'
import { Rows } from './rows.ts'

/** All rows in lowdb's `Low`, which reads and writes them with an adapter: in a file with a log, or in memory only. */
export class Table implements Engine {
  readonly #low: Low<Rows>
  readonly #file: FileAdapter | null

  private constructor(low: Low<Rows>, file: FileAdapter | null) {
    this.#low = low
    this.#file = file
  }

  /** Loads the table at a path, or makes one in memory (null). The log is folded while the first calls are served. */
  static async open(path: string | null, pauses = PAUSES): Promise<Table> {
    if (path === null) return new Table(new Low(new Memory<Rows>(), new Rows()), null)
    const file = await FileAdapter.open(path, pauses)
    const low = new Low(file, new Rows())
    await low.read()
    void low.write()
    return new Table(low, file)
  }

  /** Folds the log into the table, closes the files and releases the lock. */
  async close(): Promise<void> {
    await this.#low.write()
    await this.#file?.close()
  }

  /** Throws unless the files are still this process's own; rows in memory are always there. */
  async check(): Promise<void> {
    await this.#file?.check()
  }

  /** Counts the rows, all of them or those whose hash does not match a pattern. */
  count(unlike?: RegExp): number {
    const { all } = this.#low.data
    // Not test(), which with the flag g starts after the last match.
    return unlike ? all.filter((user) => user.hashed_password.search(unlike) < 0).length : all.length
  }

  /** Adds a row immediately, so that the next call sees it, then waits for the disk. */
  async insert(email: string, hashedPassword: string): Promise<User> {
    const rows = this.#low.data
    if (rows.find({ email }) !== undefined) throw new EmailTaken(email)
    const id = rows.lastId + 1
    if (!canHold('id', id)) {
      throw new StoreError(`no id is left after ${rows.lastId}: lower that user's id, or last_id`)
    }
    const user = new User({ id, email, hashed_password: hashedPassword })
    const copy = copyOf(user)
    rows.add(user)
    await this.#file?.append(user, () => rows.removeLast())
    return copy
  }

  /** A copy of the row with the lowest id that has all of the attributes. */
  find(attributes: Attributes): User | undefined {
    const user = this.#low.data.find(attributes)
    return user && copyOf(user)
  }

  /** Changes a row immediately, so that the next call sees it, then waits for the disk. */
  async update(where: Attributes, changes: Attributes): Promise<boolean> {
    const rows = this.#low.data
    const user = rows.find(where)
    if (user === undefined) return false
    const { email } = changes
    if (email !== undefined && (rows.find({ email }) ?? user) !== user) throw new EmailTaken(email)
    const before = { ...user }
    rows.change(user, changes)
    await this.#file?.append(user, () => rows.change(user, before))
    return true
  }
}

/** A copy for the caller to keep. It skips the constructor's checks, which the row has passed already. */
function copyOf(user: User): User {
  const copy: User = Object.create(User.prototype)
  return Object.assign(copy, user)
}
