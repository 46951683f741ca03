/** Databases for the tests that need PostgreSQL. */
import { randomUUID } from 'node:crypto'
import postgres, { type Sql } from 'postgres'
import type { Test } from 'tap'

/** The server for the tests that need PostgreSQL; they make databases of their own on it. */
const POSTGRES = process.env['TEST_DATABASE_URL'] ?? 'postgres://root@127.0.0.1:5432/root'

/** Options of a test that needs PostgreSQL: where there is none it is skipped, but in CI it fails. */
export const NEEDS_POSTGRES = {
  skip:
    process.env['CI'] === undefined && !(await hasPostgres())
      ? 'no PostgreSQL: set TEST_DATABASE_URL=postgres://… to run this test'
      : false,
}

/** Tells whether the server for the tests is there. */
export async function hasPostgres(): Promise<boolean> {
  const sql = postgres(POSTGRES, { connect_timeout: 3 })
  const answered = await sql`select 1`.catch(() => [])
  await sql.end({ timeout: 0 })
  return answered.length > 0
}

/** Makes a database of the test's own; returns its URL, and a connection to another database of the same server. */
export async function createDatabase(t: Test): Promise<{ url: string; name: string; admin: Sql }> {
  const name = `auth_test_${randomUUID().replaceAll('-', '')}`
  const admin = postgres(POSTGRES, { onnotice: () => {} })
  await admin`create database ${admin(name)}`
  t.teardown(async () => {
    await admin`drop database ${admin(name)} with (force)`
    await admin.end()
  })
  const url = new URL(POSTGRES)
  url.pathname = name
  return { url: url.href, name, admin }
}
