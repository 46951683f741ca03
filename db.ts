/**
 * The store (tasks 1 to 3): rows in, rows out. It knows nothing of passwords, sessions or HTTP. The table is kept by lowdb,
 * in a JSON file or in memory.
 */
import { Low, Memory, type Adapter } from 'lowdb'
import { JSONFile } from 'lowdb/node'
import { checkValue, isColumn, TABLE, toUser, type User, ValueError } from './user.ts'

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

/** The shape of `users.json`. */
type Table = { [TABLE]: User[] }

/** Some columns and their values. */
export type Attributes = Partial<User>

/** The users, behind three methods; which store is behind them is the business of this file alone. */
export class DB {
  readonly #low: Low<Table>
  readonly #url: string

  /** @param url `file:PATH` or `memory:` */
  constructor(url: string) {
    this.#url = url
    this.#low = new Low<Table>(adapterFor(url), { [TABLE]: [] })
  }

  /**
   * Reads the table; to be called once, before anything else.
   * @throws {StoreError} when the table cannot be read, or is damaged
   */
  async open(): Promise<void> {
    try {
      await this.#low.read()
      this.#low.data = { [TABLE]: this.#low.data[TABLE].map(toUser) }
    } catch (error) {
      throw new StoreError(`cannot read ${this.#url}: ${messageOf(error)}`)
    }
  }

  /** Resolves when everything that was written is in the store. */
  async close(): Promise<void> {}

  /**
   * Adds a row (task 1).
   * @throws {EmailTaken} when the email is there already: of two registrations at once, one wins
   * @throws {ValueError} when a column cannot hold the value
   */
  async addUser(email: string, hashedPassword: string): Promise<User> {
    const users = this.#low.data[TABLE]
    if (users.some((user) => matches(user, { email }))) throw new EmailTaken(email)
    const user = toUser({ id: (users.at(-1)?.id ?? 0) + 1, email, hashed_password: hashedPassword })
    users.push(user)
    await this.#write(() => users.splice(users.indexOf(user), 1))
    return { ...user }
  }

  /**
   * The first user that has all of the attributes (task 2); an email matches whatever its case.
   * @throws {NoResultFound} when there is none
   * @throws {InvalidRequestError} when an attribute is no column, or when there is no attribute
   */
  async findUserBy(attributes: Attributes): Promise<User> {
    const names = Object.keys(attributes)
    if (names.length === 0) throw new InvalidRequestError('nothing to search by')
    for (const name of names) if (!isColumn(name)) throw new InvalidRequestError(`${name} is no column`)
    return { ...this.#find(attributes) }
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
    const user = this.#find({ ...expected, id: userId })
    const { email } = attributes
    if (email !== undefined && this.#low.data[TABLE].some((row) => row !== user && matches(row, { email }))) {
      throw new EmailTaken(email)
    }
    const before = { ...user }
    Object.assign(user, attributes)
    await this.#write(() => Object.assign(user, before))
  }

  #find(attributes: Attributes): User {
    const user = this.#low.data[TABLE].find((row) => matches(row, attributes))
    if (user === undefined) throw new NoResultFound('no such user')
    return user
  }

  async #write(undo: () => void): Promise<void> {
    try {
      await this.#low.write()
    } catch (error) {
      undo()
      throw new StoreError(`cannot write ${this.#url}: ${messageOf(error)}`)
    }
  }
}

/** lowdb's adapter for a URL. */
function adapterFor(url: string): Adapter<Table> {
  if (url === 'memory:') return new Memory()
  const path = /^file:(?:\/\/)?(.+)$/.exec(url)?.[1]
  if (path === undefined) throw new ValueError('expected file:PATH or memory:')
  return new JSONFile(path)
}

/** Tells whether a row has all of the attributes. */
function matches(user: User, attributes: Attributes): boolean {
  return Object.entries(attributes).every(([name, value]) =>
    name === 'email'
      ? user.email.toLowerCase() === String(value).toLowerCase()
      : isColumn(name) && user[name] === value,
  )
}

/** The message of whatever was thrown. */
function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
