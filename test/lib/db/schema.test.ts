/** The table in PostgreSQL: made, completed, and served by a role that may not change it. */
import type { Client } from 'pg'
import t, { type Test } from 'tap'
import { DB } from '../../../db.ts'
import { request } from '../../helper/http.ts'
import { connectTo, createDatabase, NEEDS_POSTGRES } from '../../helper/postgres.ts'
import { Program, startServer } from '../../helper/program.ts'

// Most of the time goes into waiting for limits of the service, which may run out at the same time.
t.jobs = 3

/** The table as SQLAlchemy makes it for the exercise. */
const ORIGINAL = `CREATE TABLE users (id SERIAL NOT NULL, email VARCHAR(250) NOT NULL, hashed_password VARCHAR(250) NOT NULL,
  session_id VARCHAR(250), reset_token VARCHAR(250), PRIMARY KEY (id))`
/** The index that earlier versions of the service made. */
const OLD_INDEX = 'create unique index users_email on users (lower(email))'

/** A database of the test's own, prepared by some statements. */
async function prepare(t: Test, ...statements: string[]): Promise<{ url: string; sql: Client; admin: Client }> {
  const { url, admin } = await createDatabase(t)
  const sql = await connectTo(t, url)
  for (const statement of statements) await sql.query(statement)
  return { url, sql, admin }
}

/** The names of the table's indexes. */
async function indexesOf(sql: Client): Promise<string[]> {
  const { rows } = await sql.query<{ name: string }>(
    "select indexname as name from pg_indexes where tablename = 'users'",
  )
  return rows.map(({ name }) => name).sort()
}

/** Why a database is refused. */
async function refusalOf(url: string): Promise<string> {
  const db = new DB(url)
  try {
    await db.open()
    await db.close()
    return 'none'
  } catch (error) {
    return error instanceof Error ? error.message : ''
  }
}

const INDEXES = ['users_email_ascii', 'users_pkey', 'users_reset_token', 'users_session_id']

t.test('a table that the Python original made', NEEDS_POSTGRES, async (t) => {
  const hash = '$2b$12$eUDdeuBtrD41c8dXvzh95ehsWYCCAi4VH1JbESzgbgZT.eMMzi.G2'
  const row = `insert into users (email, hashed_password, session_id) values ('bob@me.com', '${hash}', 'old')`
  const { url, sql } = await prepare(t, ORIGINAL, row)
  const server = await startServer(t, { DATABASE_URL: url })
  const login = { email: 'bob@me.com', password: 'Hello Holberton' }
  t.match(await request(`${server.url}/sessions`, 'POST', login), { status: 200, body: { email: 'bob@me.com' } })
  t.match(await request(`${server.url}/users`, 'POST', { email: 'second@me.com', password: 'p' }), { status: 200 })
  t.match((await sql.query('select id, email from users order by id')).rows, [
    { id: 1 },
    { id: 2, email: 'second@me.com' },
  ])
  t.strictSame(await indexesOf(sql), INDEXES)
  await sql.query('set enable_seqscan = off')
  const plan = await sql.query(`explain select * from users where lower(email collate "C") = 'x'`)
  t.match(JSON.stringify(plan.rows), /users_email_ascii/, 'the index serves the search')
})

t.test('a unique column of the original also means that an email is taken', NEEDS_POSTGRES, async (t) => {
  const { url } = await prepare(t, ORIGINAL, 'alter table users add unique (email)')
  const db = new DB(url)
  t.teardown(() => db.close())
  await db.addUser('a@b', 'x')
  await db.addUser('c@d', 'x')
  await t.rejects(db.addUser('a@b', 'x'), { name: 'EmailTaken' })
  await t.rejects(db.updateUser(2, { email: 'a@b' }), { name: 'EmailTaken' })
})

t.test('only an email means that an email is taken', NEEDS_POSTGRES, async (t) => {
  const { url, sql } = await prepare(t)
  const db = new DB(url)
  t.teardown(() => db.close())
  await db.addUser('a@b', 'x')
  // As after a restore that forgot the sequence.
  await sql.query("select setval('users_id_seq', 1, false)")
  await t.rejects(db.addUser('c@d', 'x'), { name: 'StoreError', message: /users_pkey/ })
})

t.test('the index of an earlier version is replaced', NEEDS_POSTGRES, async (t) => {
  const { url, sql } = await prepare(
    t,
    ORIGINAL,
    OLD_INDEX,
    `insert into users (email, hashed_password) values ('É@x', 'x')`,
  )
  const db = new DB(url)
  t.teardown(() => db.close())
  t.equal((await db.addUser('é@x', 'x')).id, 2, 'which was one email for the old index')
  t.equal((await db.findUserBy({ email: 'É@X' })).id, 1)
  t.strictSame(await indexesOf(sql), INDEXES)
})

t.test('two users with one email: the line says which, and the old index stays', NEEDS_POSTGRES, async (t) => {
  const rows = `insert into users (email, hashed_password) values ('c@d', 'x'), ('Bob@me.com', 'x'), ('bob@me.com', 'x')`
  const { url, sql } = await prepare(t, ORIGINAL, rows, 'create unique index users_email on users (email)')
  const refused = new Program('server.ts', { DATABASE_URL: url, HOST: '127.0.0.1', PORT: '0' })
  t.match(await refused.exited, { code: 1 })
  t.equal(
    refused.stderr.replace(/^\S+Z /, ''),
    'cannot open the database: users 2 and 3 have the same email, bob@me.com; change or delete all but one\n',
  )
  t.strictSame(await indexesOf(sql), ['users_email', 'users_pkey'], 'nothing was changed')
  await sql.query('delete from users where id = 3')
  t.equal(await refusalOf(url), 'none')
  t.strictSame(await indexesOf(sql), INDEXES)
})

t.test('a role that may only read, add and change rows', NEEDS_POSTGRES, async (t) => {
  const { url, sql, admin } = await prepare(t)
  const role = `auth_role_${new URL(url).pathname.slice(-12)}`
  await admin.query(`create role ${role} login`)
  t.teardown(async () => {
    await sql.query(`drop owned by ${role}`)
    await admin.query(`drop role ${role}`)
  })
  const limited = Object.assign(new URL(url), { username: role, password: '' }).href
  const statements =
    'create table users \\(id serial primary key, .*; create unique index users_email_ascii on users .*'
  t.match(
    await refusalOf(limited),
    new RegExp(`^cannot open the database: permission denied for schema public; let a role .* run: ${statements}$`),
  )
  t.equal(await refusalOf(url), 'none')
  t.equal(
    await refusalOf(limited),
    `cannot open the database: the role ${role} lacks rights; grant select, insert, update on users to ${role}; ` +
      `grant usage on sequence public.users_id_seq to ${role}`,
  )
  await sql.query(`grant select, insert, update on users to ${role}`)
  t.match(await refusalOf(limited), /lacks rights/, 'the ids come from the sequence')
  await sql.query(`grant usage on sequence users_id_seq to ${role}`)
  const db = new DB(limited)
  t.equal((await db.addUser('a@b', 'x')).id, 1)
  await db.updateUser(1, { session_id: 's' })
  t.equal((await db.findUserBy({ session_id: 's' })).id, 1)
  await db.close()
  await sql.query('alter table users drop column reset_expires_at')
  t.equal(
    await refusalOf(limited),
    'cannot open the database: must be owner of table users; ' +
      'let a role with the rights run: alter table users add column reset_expires_at bigint',
  )
})

t.test('a statement that makes the table may take any time', NEEDS_POSTGRES, async (t) => {
  const { url, sql } = await prepare(t)
  const db = new DB(url)
  t.teardown(() => db.close())
  await sql.query("begin; select pg_advisory_xact_lock(hashtext('users'))")
  const opening = db.open()
  // Longer than a statement of a request may take.
  await sql.query('select pg_sleep(4.5)')
  await sql.query('commit')
  await opening
  t.equal(await db.countUsers(), 0)
})

t.test('a database of another encoding', NEEDS_POSTGRES, async (t) => {
  const { url, name, admin } = await createDatabase(t)
  await admin.query(`drop database ${name}`)
  await admin.query(`create database ${name} encoding 'LATIN1' locale 'C' template template0`)
  t.equal(await refusalOf(url), 'cannot open the database: its encoding is LATIN1; create one with UTF8')
})
