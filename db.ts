/**
 * The users (tasks 1 to 3): rows in, rows out. It knows nothing of passwords, sessions or HTTP. What is stored where, and
 * how it survives a crash, is in `lib/db/`.
 */
import { type Attributes, type Engine, InvalidRequestError, NoResultFound, StoreError } from './lib/db/engine.ts'
import { Postgres } from './lib/db/postgres.ts'
import { Table } from './lib/db/table.ts'
import { messageOf, ValueError, withoutPassword } from './lib/errors.ts'
import { canHold, checkValue, DEFAULT_URL, isColumn, type User } from './user.ts'

export { type Attributes, EmailTaken, InvalidRequestError, NoResultFound, StoreError } from './lib/db/engine.ts'

/**
 * The `users` table, in a file, in memory or in PostgreSQL. The first call opens it. Every method throws `StoreError` when
 * the store cannot be opened, is closed, or cannot read or write now; nothing is changed then.
 */
export class DB {
  readonly #engine: Engine
  #opened: Promise<void> | undefined
  #closed: Promise<void> | undefined

  /**
   * @param databaseUrl `file:PATH`, `memory:` or `postgres://…`; nothing is opened yet
   * @throws {ValueError} when it is none of these; the message names it, without its password
   */
  constructor(databaseUrl = DEFAULT_URL) {
    try {
      this.#engine = engineFor(databaseUrl)
    } catch (error) {
      throw new ValueError(`databaseUrl=${withoutPassword(String(databaseUrl))}: ${messageOf(error)}`)
    }
  }

  /** Opens the store now instead of at the first call. May be called again, also after it was refused. */
  open(): Promise<void> {
    if (this.#closed !== undefined) return Promise.reject(new StoreError('the store is closed'))
    this.#opened ??= this.#engine.open().catch((error) => {
      this.#opened = undefined
      throw error
    })
    return this.#opened
  }

  /** Closes the store for good; everything that was acknowledged is in it. May be called at any time, twice, or never. */
  async close(): Promise<void> {
    this.#closed ??= this.#closeOpened()
    await this.#closed
  }

  async #closeOpened(): Promise<void> {
    const isOpen = await this.#opened?.then(
      () => true,
      () => false,
    )
    if (isOpen === true) await this.#engine.close()
  }

  /** Checks that the store answers now: a file must still be this process's own, a database must answer within a second. */
  async check(): Promise<void> {
    await this.open()
    await this.#engine.check()
  }

  /** How many users there are. */
  async countUsers(): Promise<number> {
    await this.open()
    return this.#engine.count()
  }

  /**
   * Adds a user (task 1).
   * @throws {EmailTaken} when the email is taken already; of two registrations at once, one wins
   * @throws {ValueError} when a column cannot hold the value
   */
  async addUser(email: string, hashedPassword: string): Promise<User> {
    checkValue('email', email)
    checkValue('hashed_password', hashedPassword)
    await this.open()
    return this.#engine.insert({ email, hashed_password: hashedPassword })
  }

  /**
   * The first user (lowest id) that matches all attributes (task 2). Emails are compared as `emailKey` says.
   * @throws {NoResultFound} when there is none, or when the column cannot hold the value
   * @throws {InvalidRequestError} when an attribute is not a column, or when there is no attribute
   */
  async findUserBy(attributes: Attributes): Promise<User> {
    if (Object.keys(attributes).length === 0) throw new InvalidRequestError('no attribute to search by')
    checkSearch(attributes)
    await this.open()
    const user = await this.#engine.find(attributes)
    if (user === undefined) throw new NoResultFound(`no user with this ${Object.keys(attributes).join(', ')}`)
    return user
  }

  /**
   * Changes columns of one user (task 3). With `expected`, only while the row still has those values: of several uses of
   * one reset token at once, one wins.
   * @throws {ValueError} when an attribute is not a column, or its column cannot hold the value; nothing is changed
   * @throws {EmailTaken} when another user has the email
   * @throws {NoResultFound} when there is no such user, or its row has other values than expected
   * @throws {InvalidRequestError} when an expected attribute is not a column
   */
  async updateUser(userId: number, attributes: Attributes, expected: Attributes = {}): Promise<void> {
    for (const [name, value] of Object.entries(attributes)) {
      if (!isColumn(name)) throw new ValueError(`unknown column ${name}`)
      checkValue(name, value)
      if (name === 'id' && value !== userId) throw new ValueError('an id never changes')
    }
    checkSearch({ id: userId })
    checkSearch(expected)
    await this.open()
    const isAnother = 'id' in expected && expected.id !== userId
    if (isAnother || !(await this.#engine.update(userId, attributes, expected))) {
      throw new NoResultFound(`no user with id ${userId} and the expected values`)
    }
  }
}

/** Throws unless there may be a row with these values. */
function checkSearch(attributes: Attributes): void {
  for (const name of Object.keys(attributes)) {
    if (!isColumn(name)) throw new InvalidRequestError(`unknown column ${name}`)
    if (!canHold(name, attributes[name]))
      throw new NoResultFound(`no user with this ${name}: the column cannot hold it`)
  }
}

function engineFor(url: string): Engine {
  if (url === 'memory:') return new Table(null)
  if (/^postgres(ql)?:\/\//.test(url)) return new Postgres(url)
  const path = /^file:(?:\/\/)?(.+)$/s.exec(url)?.[1]
  if (path !== undefined) return new Table(path)
  throw new ValueError('expected file:PATH, memory: or postgres://USER:PASSWORD@HOST:PORT/DATABASE')
}
