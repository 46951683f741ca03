/**
 * The users (tasks 1 to 3): rows in, rows out. DB knows nothing about passwords, sessions or HTTP. What is stored
 * where, and how it survives a crash, is in `lib/db/`.
 */
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Attributes, type Engine, InvalidRequestError, NoResultFound, StoreError } from './lib/db/engine.ts'
import { poolAt, Postgres } from './lib/db/postgres.ts'
import { Table } from './lib/db/table.ts'
import { messageOf, ValueError } from './lib/errors.ts'
import { canHold, checkValue, type ColumnName, DEFAULT_URL, isColumn, type User } from './user.ts'

export { type Attributes, EmailTaken, InvalidRequestError, NoResultFound, StoreError } from './lib/db/engine.ts'

/** How long a healthy disk or database may take to answer. */
const CHECK_MS = 1500

/**
 * The `users` table, in a file, in memory or in PostgreSQL. The first call opens it. Every method throws `StoreError`
 * when the store cannot be opened, is closed, or cannot read or write now; nothing is changed then, unless the message
 * says that the change may have been made.
 */
export class DB {
  readonly #openEngine: Opener
  #engine: Promise<Engine> | undefined
  #closed: Promise<void> | undefined

  /**
   * @param databaseUrl `file:PATH`, `memory:` or `postgres://…`; nothing is opened yet
   * @throws {ValueError} when it is none of these
   */
  constructor(databaseUrl = DEFAULT_URL) {
    // A caller in JavaScript may pass anything, such as null.
    this.#openEngine = openerFor(String(databaseUrl))
  }

  /** Opens the store now instead of at the first call. May be called again, even after opening failed. */
  async open(): Promise<void> {
    await this.#opened()
  }

  /** The store; the first call opens it, and if that fails, the next call tries again. */
  #opened(): Promise<Engine> {
    if (this.#closed !== undefined) return Promise.reject(new StoreError('the store is closed'))
    this.#engine ??= this.#openEngine().catch((error) => {
      this.#engine = undefined
      throw error
    })
    return this.#engine
  }

  /** Closes the store for good; every acknowledged change is in it. May be called at any time, twice, or never. */
  async close(): Promise<void> {
    const close = async () => (await this.#engine?.catch(() => undefined))?.close()
    this.#closed ??= close()
    await this.#closed
  }

  /** Throws unless the store answers in time; a file must still be this process's, a database must accept writes. */
  async check(): Promise<void> {
    const late = delay(CHECK_MS, undefined, { ref: false }).then(() => {
      throw new StoreError(`the store has not answered for ${CHECK_MS / 1000} seconds`)
    })
    await Promise.race([this.#opened().then((engine) => engine.check()), late])
  }

  /** How many users there are; with a pattern, only those whose `hashed_password` does not match it. */
  async countUsers(unlike?: RegExp): Promise<number> {
    return (await this.#opened()).count(unlike)
  }

  /**
   * Adds a user (task 1).
   * @throws {EmailTaken} when another user has the email; of two simultaneous registrations, one wins
   * @throws {ValueError} when a column cannot hold its value
   */
  async addUser(email: string, hashedPassword: string): Promise<User> {
    checkValue('email', email)
    checkValue('hashed_password', hashedPassword)
    return (await this.#opened()).insert(email, hashedPassword)
  }

  /**
   * The first user (lowest id) that matches all attributes (task 2). Emails are compared as `emailKey` says.
   * @throws {NoResultFound} when there is none, or when a column cannot hold the value
   * @throws {InvalidRequestError} when an attribute is not a column, or when there is no attribute
   */
  async findUserBy(attributes: Attributes): Promise<User> {
    const wanted = copySearch(attributes)
    const names = Object.keys(wanted)
    if (names.length === 0) throw new InvalidRequestError('no attribute to search by')
    const user = await (await this.#opened()).find(wanted)
    if (user === undefined) throw new NoResultFound(`no user with this ${names.join(', ')}`)
    return user
  }

  /**
   * Changes columns of one user (task 3). With `expected`, it does so only if the row still has those values: of
   * several simultaneous uses of one reset token, one wins.
   * @throws {ValueError} for an unknown column, a value that its column cannot hold, or another id; nothing is changed
   * @throws {EmailTaken} when another user has the email
   * @throws {NoResultFound} when there is no such user, or its row has other values than expected
   * @throws {InvalidRequestError} when an expected attribute is not a column
   */
  async updateUser(userId: number, attributes: Attributes, expected: Attributes = {}): Promise<void> {
    const { id, ...changes } = copy(attributes, ValueError, checkValue)
    if (id !== undefined && id !== userId) throw new ValueError('an id never changes')
    const where = copySearch({ id: userId, ...expected })
    const engine = await this.#opened()
    // `expected` may have another id.
    if (where.id !== userId || !(await engine.update(where, changes))) {
      throw new NoResultFound(`no user with id ${userId} and the expected values`)
    }
  }
}

/**
 * Copies and checks what a caller passed, which the caller may change while the store opens. Reads each value once.
 * Throws a `Refusal` for an unknown column, or if it gets no object.
 */
function copy(
  attributes: Attributes,
  Refusal: typeof InvalidRequestError | typeof ValueError,
  check: (name: ColumnName, value: unknown) => void,
): Attributes {
  if (Object(attributes) !== attributes) throw new Refusal('expected an object with columns and their values')
  const given: Readonly<Record<string, unknown>> = attributes
  const copied: Record<string, unknown> = {}
  for (const name of Object.keys(given)) {
    if (!isColumn(name)) throw new Refusal(`unknown column ${name}`)
    const value = given[name]
    check(name, value)
    copied[name] = value
  }
  return copied
}

/** A copy of values to search by. Throws `NoResultFound` for a value that no row can have. */
function copySearch(attributes: Attributes): Attributes {
  return copy(attributes, InvalidRequestError, (name, value) => {
    if (!canHold(name, value)) throw new NoResultFound(`no user with this ${name}: the column cannot hold it`)
  })
}

/** Opens a store; nothing is connected or locked until it is called. May be called again after a `StoreError`. */
type Opener = () => Promise<Engine>

/** The function that opens the store at a URL. */
function openerFor(url: string): Opener {
  if (url === 'memory:') return () => Table.open(null)
  if (/^postgres(ql)?:\/\//.test(url)) {
    const openPool = poolAt(url)
    return async () => new Postgres(await openPool())
  }
  if (url.startsWith('file://')) {
    const path = decodePath(url)
    return () => Table.open(path)
  }
  if (/^file:./s.test(url)) {
    const path = resolve(url.slice('file:'.length))
    return () => Table.open(path)
  }
  throw new ValueError('expected file:PATH, memory: or postgres://USER:PASSWORD@HOST:PORT/DATABASE')
}

/** The path in a `file://` URL with escapes, such as node's `pathToFileURL` makes. */
function decodePath(url: string): string {
  if (/[?#]/.test(url)) throw new ValueError('write ? as %3F and # as %23 after file://, or use file:PATH')
  try {
    return fileURLToPath(url)
  } catch (error) {
    throw new ValueError(messageOf(error))
  }
}
