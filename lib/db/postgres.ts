/** The engine over SQL. */
import type { Sql } from 'postgres'
import { COLUMNS, User, ValueError } from '../../user.ts'
import { type Attributes, EmailTaken, type Engine, messageOf, StoreError } from './engine.ts'

/** The columns, as a statement lists them. */
const NAMES = Object.keys(COLUMNS).join(', ')

/** How long a statement may take, in milliseconds, before the database gives it up, */
const STATEMENT_TIMEOUT = 3000
/** and before its connection is given up, as nothing comes back on it any more. */
const HANG_TIMEOUT = 4000
/** How long a database that is well may take to answer, in milliseconds. */
const CHECK_TIMEOUT = 1000

/** The same three methods over SQL, for any number of processes: the database decides who comes first. */
export class Postgres implements Engine {
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

  /** Throws unless the database answers within a second. */
  async check(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      const error = new StoreError(`the database has not answered for ${CHECK_TIMEOUT / 1000} second`)
      timer = setTimeout(() => reject(error), CHECK_TIMEOUT)
    })
    try {
      await Promise.race([this.#run('select 1', []), late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** How many rows there are. */
  async count(): Promise<number> {
    return (await this.#run('select count(*) as id from users', []))[0]?.id ?? 0
  }

  /** Adds a row; the unique index decides whether the email is new. */
  async insert(email: string, hashed_password: string): Promise<User> {
    const text = `insert into users (email, hashed_password) values ($1, $2) returning ${NAMES}`
    return new User((await this.#run(text, [email, hashed_password]))[0])
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
    return user && new User(user)
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
    return user && new User(user)
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
