/** The engine over SQL. */
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import type { Pool, PoolClient } from 'pg'
import { COLUMN_NAMES, type ColumnName, COLUMNS, emailKey, isColumn, TABLE, type User } from '../../user.ts'
import { messageOf } from '../errors.ts'
import { type Attributes, EmailTaken, type Engine, StoreError, toUser } from './engine.ts'
import { commit, explain, hasCode, LIMITS, openPool, readUrl, use } from './pool.ts'
import { EMAIL_KEY, prepareTable } from './schema.ts'
import { SharedSearch } from './shared-search.ts'

/** The columns, as a statement lists them. */
export const NAMES = COLUMN_NAMES.join(', ')

/** A healthy database closes its connections in this time. */
const END_MS = 1000

/** A table in PostgreSQL, for any number of processes: the database decides who comes first. */
export class Postgres implements Engine {
  readonly #pool: Pool
  readonly #calls = new Set<Promise<unknown>>()
  readonly #sessions = new SharedSearch((ids) => this.#findSessions(ids))

  /** @param pool from `poolAt` */
  constructor(pool: Pool) {
    this.#pool = pool
  }

  /** Waits for the calls made so far, then closes the connections; does not wait for those that hang. */
  async close(): Promise<void> {
    // Searches for sessions begin in the turn after their call.
    await turn()
    // Ending the pool would abandon the calls that wait for a connection, or need another one.
    await Promise.allSettled(this.#calls)
    await Promise.race([this.#pool.end(), delay(END_MS, undefined, { ref: false })])
  }

  /** Throws unless the database has the table and answers that it can be written to. */
  check(): Promise<void> {
    const text = `select current_setting('transaction_read_only') as value, exists(select from ${TABLE})`
    return this.#use(async (client) => {
      const { rows } = await client.query<{ value: string }>(text)
      // Thrown inside the task, so that `use` closes the connection: the next one may lead to a server that can write.
      if (rows[0]?.value !== 'off') throw new StoreError('the database is read-only')
    })
  }

  /** Counts rows. Only the pattern's source is used, and has to mean the same to PostgreSQL. */
  async count(unlike?: RegExp): Promise<number> {
    const text = `select count(*) from ${TABLE} where $1::text is null or hashed_password !~ $1`
    const { rows } = await this.#use((client) => client.query<{ count: number }>(text, [unlike?.source ?? null]))
    return rows[0]?.count ?? 0
  }

  /** Looks for the email before adding a row, as a refused INSERT uses up an id. In a race the unique index decides. */
  async insert(email: string, hashedPassword: string): Promise<User> {
    const text = `insert into ${TABLE} (email, hashed_password) select $1, $2
      where not exists (select from ${TABLE} where ${EMAIL_KEY} = $3)
      on conflict (${EMAIL_KEY}) do nothing returning ${NAMES}`
    const values = [email, hashedPassword, emailKey(email)]
    const [user] = await this.#use((client) => commit<User>(client, text, values), email)
    if (user === undefined) throw new EmailTaken(email)
    return userOf(user)
  }

  /** Finds a row in a statement of its own, or, by a session alone, in one that several searches share. */
  async find(attributes: Attributes): Promise<User | undefined> {
    const { session_id, ...others } = attributes
    if (typeof session_id === 'string' && Object.keys(others).length === 0) {
      const user = await this.#sessions.find(session_id)
      return user && userOf(user)
    }
    const values: unknown[] = []
    const where = allOf(attributes, values)
    const text = `select ${NAMES} from ${TABLE} where ${where} order by id limit 1`
    const { rows } = await this.#use((client) => client.query<User>(text, values))
    return rows[0] && userOf(rows[0])
  }

  /** The rows with these sessions; of several rows with one session, that with the lowest id. */
  async #findSessions(ids: string[]): Promise<Map<string | null, User>> {
    const text = `select ${NAMES} from ${TABLE} where session_id = any($1::text[]) order by id desc`
    const { rows } = await this.#use((client) => client.query<User>(text, [ids]))
    // Later entries of a Map replace earlier ones.
    return new Map(rows.map((user) => [user.session_id, user]))
  }

  /** Changes a row in one statement, so that the condition still holds when the row changes. */
  async update(where: Attributes, changes: Attributes): Promise<boolean> {
    const values: unknown[] = []
    const set = Object.entries(changes).map(([name, value]) => `${column(name)} = $${values.push(value)}`)
    // An UPDATE has to set something.
    if (set.length === 0) set.push('session_id = session_id')
    const text = `update ${TABLE} set ${set.join()} where ${allOf(where, values)} returning id`
    return (await this.#use((client) => commit(client, text, values), changes.email)).length > 0
  }

  /** Runs a task on one connection. On failure throws `EmailTaken` if another user has the email, else `StoreError`. */
  async #use<T>(task: (client: PoolClient) => Promise<T>, email?: string): Promise<T> {
    const call = use(this.#pool, task)
    this.#calls.add(call)
    try {
      return await call
    } catch (error) {
      if (error instanceof StoreError) throw error
      // The detail begins with what the index is on: this matches any unique index on emails, ours or an older one.
      const isTaken = hasCode(error, '23505') && /^[^=]*email/.test(Object(error).detail)
      if (isTaken && email !== undefined) throw new EmailTaken(email)
      throw new StoreError(`the database: ${explain(error)}`)
    } finally {
      this.#calls.delete(call)
    }
  }
}

/**
 * Checks a URL. The function that it returns connects, and creates or completes the table; its caller ends the pool.
 * @throws {ValueError} when pg cannot use the URL
 */
export function poolAt(url: string, limits = LIMITS): () => Promise<Pool> {
  const settings = readUrl(url)
  return async function open(): Promise<Pool> {
    const pool = await openPool(settings, limits)
    try {
      await prepareTable(pool, limits)
      return pool
    } catch (error) {
      await pool.end()
      const { searchParams } = settings.url
      if (searchParams.get('sslmode') === 'prefer' && /does not support SSL/.test(messageOf(error))) {
        searchParams.set('sslmode', 'disable')
        return open()
      }
      throw new StoreError(`cannot open the database: ${explain(error)}`)
    }
  }
}

/** A row that the database returned, checked. */
function userOf(row: User): User {
  return toUser(row, () => `the database: the row with id ${row.id}`)
}

/** The condition that a row has all of the attributes. The text contains names of columns, never a value. */
function allOf(attributes: Attributes, values: unknown[]): string {
  const conditions = Object.entries(attributes).map(([name, value]) => {
    if (value === null) return `${column(name)} is null`
    if (name === 'email') return `${EMAIL_KEY} = $${values.push(emailKey(String(value)))}`
    // Without the cast, a search for an id over 2^31 would be an error instead of finding nothing.
    const cast = COLUMNS[column(name)].type === 'integer' ? '::bigint' : ''
    return `${name} = $${values.push(value)}${cast}`
  })
  return conditions.join(' and ')
}

/** Returns the name of a column, and throws for any other text, which would run as SQL. */
function column(name: string): ColumnName {
  if (!isColumn(name)) throw new TypeError(`unknown column ${name}`)
  return name
}
