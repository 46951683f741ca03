/**
 * The store (tasks 1 to 3): rows in, rows out. It knows nothing of passwords, sessions or HTTP. `DB` is its face; what it
 * takes to keep the rows is under lib/db.
 */
import { type Attributes, type Engine, InvalidRequestError, NoResultFound } from './lib/db/engine.ts'
import { LogFile } from './lib/db/log-file.ts'
import { Postgres } from './lib/db/postgres.ts'
import { Table } from './lib/db/table.ts'
import { checkValue, isColumn, type User, ValueError } from './user.ts'

export { type Attributes, EmailTaken, InvalidRequestError, NoResultFound, StoreError } from './lib/db/engine.ts'

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
