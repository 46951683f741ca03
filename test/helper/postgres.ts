/** Databases for the tests that need PostgreSQL. */
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import type { Test } from 'tap'
import { LIMITS } from '../../lib/db/pool.ts'
import { poolAt, Postgres } from '../../lib/db/postgres.ts'

/** The server for the tests that need PostgreSQL; they make databases of their own on it. */
const POSTGRES = process.env['TEST_DATABASE_URL'] ?? 'postgres://root@127.0.0.1:5432/root'

/** Options of a test that needs PostgreSQL: without one it is skipped, but in CI it fails. */
export const NEEDS_POSTGRES = {
  skip:
    process.env['CI'] === undefined && !(await hasPostgres())
      ? 'no PostgreSQL: set TEST_DATABASE_URL=postgres://… to run this test'
      : false,
}

/** True if the server for the tests is there. */
async function hasPostgres(): Promise<boolean> {
  const client = new pg.Client({ connectionString: POSTGRES, connectionTimeoutMillis: 3000 })
  const isThere = await client.connect().then(
    () => true,
    () => false,
  )
  await client.end()
  return isThere
}

/** Connects to a database until the end of the test. */
export async function connectTo(t: Test, url: string): Promise<pg.Client> {
  const client = new pg.Client(url)
  client.on('error', () => {})
  await client.connect()
  t.teardown(() => client.end())
  return client
}

/** Makes a database of the test's own; returns its URL, and a connection to another database of the same server. */
export async function createDatabase(t: Test): Promise<{ url: string; name: string; admin: pg.Client }> {
  const name = `auth_test_${randomUUID().replaceAll('-', '')}`
  const admin = await connectTo(t, POSTGRES)
  await admin.query(`create database ${name}`)
  t.teardown(() => admin.query(`drop database ${name} with (force)`))
  const url = new URL(POSTGRES)
  url.pathname = name
  return { url: url.href, name, admin }
}

/** The outcome of opening a database: 'open', or the message of the error. */
export async function outcomeOf(url: string, limits = LIMITS): Promise<string> {
  try {
    const engine = new Postgres(await poolAt(url, limits)())
    await engine.check()
    await engine.close()
    return 'open'
  } catch (error) {
    return error instanceof Error ? error.message : ''
  }
}

/** Waits until connections to a database wait for a lock, and ends them. */
export async function endWaiting(admin: pg.Client, name: string): Promise<void> {
  const end = `select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and wait_event_type = 'Lock'`
  while ((await admin.query(end, [name])).rowCount === 0);
}
