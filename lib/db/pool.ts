/** Connections to PostgreSQL through pg: opening and using them, and explaining their failures. */
import type { Pool, PoolClient } from 'pg'
import { messageOf, ValueError } from '../errors.ts'
import { StoreError } from './engine.ts'

/** How long things may take, in milliseconds. */
export const LIMITS = {
  /** To connect, or to wait for a free connection. */
  connectMs: 10_000,
  /** The database cancels a statement after this. */
  statementMs: 3000,
  /** A connection on which a statement has no answer after this counts as hung and is dropped. */
  hangMs: 4000,
  /** To wait for the lock on a table that has to be completed. */
  lockMs: 10_000,
}

/**
 * A URL for pg, changed so that pg understands it as libpq would. `?max=` is the number of connections, 10 by default.
 * @throws {ValueError} when it is not a PostgreSQL URL, or asks for what pg cannot do
 */
export function readUrl(text: string): { url: URL; max: number } {
  try {
    decodeURIComponent(text)
  } catch {
    // pg would silently use another password.
    throw new ValueError('write a % in a password as %25')
  }
  // `URL` requires a host after a user; libpq does not. pg would use its defaults for a text that is not a PostgreSQL
  // URL, so such a text is replaced by a URL with two hosts, which is refused below.
  const withHost = text.replace(/^(\w+:\/\/[^/?#]*@)(?=[/?#]|$)/, '$1localhost')
  const url = new URL(/^postgres(ql)?:\/\//.test(text) && URL.canParse(withHost) ? withHost : 'postgres://,')
  const { hostname, searchParams: settings } = url
  const max = settings.get('max') ?? '10'
  if (!/^[1-9]\d{0,2}$/.test(max) || `${hostname}${settings.get('host')}`.includes(',')) {
    const expected = 'expected postgres://USER:PASSWORD@HOST:PORT/DATABASE?max=10, with one host'
    throw new ValueError(`${expected}; write / ? # in a password as %2F %3F %23`)
  }
  settings.set('uselibpqcompat', 'true')
  if (settings.get('sslmode') === 'allow') settings.set('sslmode', 'prefer')
  // Without sslrootcert, pg uses the certificates that node trusts.
  if (settings.get('sslrootcert') === 'system') {
    settings.delete('sslrootcert')
    settings.set('sslmode', 'verify-full')
  }
  return { url, max: Number(max) }
}

/**
 * Loads the driver; the first statement connects. Connections that are not in use do not keep the process running.
 * @throws {StoreError} when the driver is not installed
 */
export async function openPool({ url, max }: ReturnType<typeof readUrl>, limits: typeof LIMITS): Promise<Pool> {
  const { Pool, types } = await import('pg').catch(() => {
    throw new StoreError('the PostgreSQL driver is missing: run npm install pg')
  })
  const pool = new Pool({
    connectionString: url.href,
    max,
    enableChannelBinding: url.searchParams.get('channel_binding') === 'require',
    allowExitOnIdle: true,
    connectionTimeoutMillis: limits.connectMs,
    statement_timeout: limits.statementMs,
    query_timeout: limits.hangMs,
    types: {
      // Type 20 is bigint: here ids, Unix seconds and counts, which a number holds exactly.
      getTypeParser: (type, format) => (Number(type) === 20 ? Number : types.getTypeParser(type, format)),
    },
  })
  // These errors need no handling: an idle connection that fails is replaced, and one in use also rejects its query.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return pool
}

type Task<T> = (client: PoolClient) => Promise<T>

/**
 * Runs a task on one connection. If the task fails, the connection is closed: the database may still be busy with it,
 * or read-only. After a conflict with another transaction (serialization_failure, deadlock_detected), the task runs
 * again in a transaction at `read committed`, which waits for the other one. Every statement here suits that level.
 */
export async function use<T>(pool: Pool, task: Task<T>, asTransaction = false, tries = 5): Promise<T> {
  const client = await pool.connect()
  try {
    if (asTransaction) await client.query('begin isolation level read committed')
    const result = await task(client)
    if (asTransaction) await commit(client, 'commit', [])
    client.release()
    return result
  } catch (error) {
    client.release(true)
    if (tries === 1 || !hasCode(error, '40001', '40P01')) throw error
  }
  return use(pool, task, true, tries - 1)
}

/** Runs a task in a transaction. If it fails, its connection is closed, and so nothing is changed. */
export function transaction<T>(pool: Pool, task: Task<T>): Promise<T> {
  return use(pool, task, true)
}

/** Runs a statement that commits. If its answer is lost, the error says that the change may have been made. */
export async function commit<Row extends object>(client: PoolClient, text: string, values: unknown[]): Promise<Row[]> {
  try {
    return (await client.query<Row>(text, values)).rows
  } catch (error) {
    // An error with a severity is the database's refusal: nothing was changed. That is not certain while the database
    // shuts down (57P), or after a failure of the connection (08).
    const { severity, code } = Object(error)
    if (severity !== undefined && !/^(08|57P)/.test(code)) throw error
    throw new Error(`${messageOf(error)}; the change may have been made`)
  }
}

/** An error's message, with what to do. If no address of a host could be reached, the message is that of the first. */
export function explain(error: unknown): string {
  return messageOf(error instanceof AggregateError ? error.errors[0] : error)
    .replace(/unsupported startup parameter: (\w+)/, '$&; in PgBouncer, set ignore_startup_parameters = $1')
    .replace(/^SASL: .*client password must be a .*/, 'the server asks for a password, and the URL has none')
    .replace(/does not support SSL connections/, '$&; turn it on there, or leave sslmode out of the URL')
}

/** True for an error of the database with one of these codes (PostgreSQL, Appendix A). */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return codes.includes(Object(error).code)
}
