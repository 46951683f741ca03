/** The engine over SQL. */
import { COLUMN_NAMES, type ColumnName, COLUMNS, emailKey, isColumn, TABLE, User } from '../../user.ts'
import { ValueError } from '../errors.ts'
import { type Attributes, EmailTaken, type Engine, type NewUser, StoreError } from './engine.ts'
import { explain, Pool, type Value, within } from './pool.ts'
import { FOLDED_EMAIL, hasCode, prepareTable } from './schema.ts'

/** The columns, as a statement lists them. */
const NAMES = COLUMN_NAMES.join(', ')

/** How long a database that is well may take to answer, in milliseconds. */
const CHECK_TIMEOUT = 1000

/** A table in PostgreSQL, for any number of processes: the database decides who comes first. */
export class Postgres implements Engine {
  readonly #pool: Pool
  /** The session IDs that wait for the next lookup, and the lookup before it. */
  #lookup: { ids: string[]; found: Promise<Map<string | null, User>> } | undefined
  #lastLookup: Promise<unknown> | undefined

  private constructor(pool: Pool) {
    this.#pool = pool
  }

  /**
   * Checks a URL; connects, and makes or completes the table, when what it returns is called.
   * @param url the driver's, with `?max=N` for the number of connections (10 if there is none)
   * @throws {ValueError} when it is not one
   */
  static at(url: string): () => Promise<Postgres> {
    const max = URL.canParse(url) ? (new URL(url).searchParams.get('max') ?? '10') : ''
    if (!/^[1-9]\d{0,2}$/.test(max)) throw new ValueError('expected postgres://USER:PASSWORD@HOST:PORT/DATABASE?max=10')
    return async () => {
      const pool = await Pool.load(url, Number(max))
      try {
        await prepareTable(pool)
        await pool.findPooler()
        return new Postgres(pool)
      } catch (error) {
        await pool.close()
        throw new StoreError(`cannot open the database: ${explain(error)}`)
      }
    }
  }

  /** Adds rows as they are to an empty table, all or none. */
  async fill(users: User[]): Promise<void> {
    await this.#pool.transaction(async (sql) => {
      await sql`lock table ${sql(TABLE)}`
      const [some] = await sql`select from ${sql(TABLE)} limit 1`
      if (some !== undefined) throw new StoreError('the database has users already; nothing was changed')
      for (let i = 0; i < users.length; i += 1000) {
        await sql`insert into ${sql(TABLE)} ${sql(users.slice(i, i + 1000))}`
      }
      await sql`select setval(pg_get_serial_sequence(${TABLE}, 'id'), max(id)) from ${sql(TABLE)}`
    })
  }

  /** Closes the connections when what runs on them has ended. */
  async close(): Promise<void> {
    await this.#pool.close()
  }

  /** Throws unless the database answers within a second. */
  async check(): Promise<void> {
    await within(CHECK_TIMEOUT, this.#run('select 1', []))
  }

  /** How many rows there are. */
  async count(): Promise<number> {
    const [row] = await this.#run<{ count: number }>(`select count(*) from ${TABLE}`, [])
    return row?.count ?? 0
  }

  /** Adds a row. It looks for the email first, as a refused INSERT uses up an id; of two that race, the unique index decides. */
  async insert(columns: NewUser): Promise<User> {
    const values: Value[] = [emailKey(columns.email)]
    const names = Object.keys(columns).filter(isColumn)
    const parameters = names.map((name) => `$${values.push(columns[name] ?? null)}${castOf(name)}`)
    const [user] = await this.#run<User>(
      `insert into ${TABLE} (${names.join()}) select ${parameters.join()}
        where not exists (select from ${TABLE} where ${FOLDED_EMAIL} = $1)
        on conflict (${FOLDED_EMAIL}) do nothing returning ${NAMES}`,
      values,
      columns.email,
    )
    if (user === undefined) throw new EmailTaken(columns.email)
    return new User(user)
  }

  /** The first row that has all of the attributes. */
  async find(attributes: Attributes): Promise<User | undefined> {
    const { session_id, ...others } = attributes
    if (typeof session_id === 'string' && Object.keys(others).length === 0) return this.#findSession(session_id)
    const values: Value[] = []
    const where = allOf(attributes, values)
    const [user] = await this.#run<User>(`select ${NAMES} from ${TABLE} where ${where} order by id limit 1`, values)
    return user && new User(user)
  }

  /**
   * Every request looks for a session: those that come in one turn of the event loop, or while such a statement runs, share
   * the next one.
   */
  async #findSession(session_id: string): Promise<User | undefined> {
    if (this.#lookup === undefined) {
      const ids: string[] = []
      const found = (this.#lastLookup ?? new Promise(setImmediate)).then(() => this.#findSessions(ids))
      this.#lastLookup = found.catch(() => {})
      this.#lookup = { ids, found }
    }
    this.#lookup.ids.push(session_id)
    const user = (await this.#lookup.found).get(session_id)
    return user && new User(user)
  }

  /** The rows that have the sessions. Those that come from now on are looked for by the next statement. */
  async #findSessions(ids: string[]): Promise<Map<string | null, User>> {
    this.#lookup = undefined
    try {
      const text = `select ${NAMES} from ${TABLE} where session_id = any($1::text[]) order by id desc`
      const users = await this.#run<User>(text, [ids])
      // Later entries of a Map replace earlier ones, so the row with the lowest id wins.
      return new Map(users.map((user) => [user.session_id, user]))
    } finally {
      if (this.#lookup === undefined) this.#lastLookup = undefined
    }
  }

  /** Changes a row in one statement, so that the condition still holds when it does. */
  async update(userId: number, attributes: Attributes, expected: Attributes): Promise<boolean> {
    const values: Value[] = []
    // Setting the id to itself keeps the statement valid when there is nothing else to change.
    const { id, ...changes } = attributes
    const set = Object.entries(changes).map(([name, value]) => `, ${column(name)} = $${values.push(value)}`)
    const where = allOf({ ...expected, id: userId }, values)
    const text = `update ${TABLE} set id = id${set.join('')} where ${where} returning id`
    return (await this.#run(text, values, attributes.email)).length > 0
  }

  /** Runs a statement. Throws `EmailTaken` where it sets this email, or `StoreError` when the database is away or does not answer in time. */
  async #run<Row extends object>(text: string, values: Value[], email?: string): Promise<Row[]> {
    try {
      return await this.#pool.run<Row>(text, values)
    } catch (error) {
      if (email !== undefined && isEmailTaken(error)) throw new EmailTaken(email)
      throw error instanceof StoreError ? error : new StoreError(`the database: ${explain(error)}`)
    }
  }
}

/** Tells whether a unique index of emails refused a row: ours, or one that the Python original made. */
function isEmailTaken(error: unknown): boolean {
  return hasCode(error, '23505') && /email/.test(String(Object(error).constraint_name))
}

/** The condition that a row has all of the attributes. The text has the names of columns in it, and never a value. */
function allOf(attributes: Attributes, values: Value[]): string {
  const conditions = Object.entries(attributes).map(([name, value]) => {
    if (value === null) return `${column(name)} is null`
    if (name === 'email') return `${FOLDED_EMAIL} = $${values.push(emailKey(String(value)))}`
    return `${name} = $${values.push(value)}${castOf(column(name))}`
  })
  return conditions.join(' and ')
}

/** A name that may stand in a statement: a column's. Any other would run as SQL. */
function column(name: string): ColumnName {
  if (!isColumn(name)) throw new TypeError(`unknown column ${name}`)
  return name
}

/** The cast of a parameter: without one, an id over 2^31 would be an error, and an integer in a SELECT would become text. */
function castOf(name: ColumnName): string {
  return COLUMNS[name].type === 'integer' ? '::bigint' : ''
}
