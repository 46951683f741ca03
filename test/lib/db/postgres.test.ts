/**
 * A real PostgreSQL: several services on one table, races, and a database that goes away, hangs or turns read-only.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { DB } from '../../../db.ts'
import { LIMITS } from '../../../lib/db/pool.ts'
import { poolAt, Postgres } from '../../../lib/db/postgres.ts'
import { moveUsers } from '../../../lib/db/to-postgres.ts'
import { BOB, request, serve, sessionOf } from '../../helper/http.ts'
import { connectTo, createDatabase, endWaiting, NEEDS_POSTGRES, outcomeOf } from '../../helper/postgres.ts'
import { Program, tempDir } from '../../helper/program.ts'
import { startService } from '../../helper/service.ts'
import { dbAt, log, row, table, writeStore } from '../../helper/store.ts'

/** An engine that is closed at the end of the test. */
async function openEngine(t: Test, url: string, limits = LIMITS): Promise<Postgres> {
  const engine = new Postgres(await poolAt(url, limits)())
  t.teardown(() => engine.close())
  return engine
}

/** Calls again and again until a call returns something other than `undefined`, or the test's time is up. */
async function until<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    const result = await call().catch(() => undefined)
    if (result !== undefined) return result
  }
}

/** Ends every other connection to a database; the row count is how many there were. */
const CUT = 'select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()'
/** The connections that wait for a lock. */
const WAITING = "select pid from pg_stat_activity where datname = $1 and wait_event_type = 'Lock'"

t.test('several services share one table', NEEDS_POSTGRES, async (t) => {
  const { url: DATABASE_URL } = await createDatabase(t)
  const env = { DATABASE_URL, LOGIN_FAILURES: '0' }
  const [one, two] = await Promise.all([startService(t, env), startService(t, env)])
  const urlOf = (i: number) => (i % 2 === 0 ? one.url : two.url)

  const tries = Array.from({ length: 40 }, (_, i) => request(`${urlOf(i)}/users`, 'POST', BOB))
  const registered = (await Promise.all(tries)).map(({ status }) => status).sort()
  t.strictSame(registered, [200, ...Array.from({ length: 39 }, () => 400)], 'one registration wins')

  const cookie = `session_id=${sessionOf(await request(`${one.url}/sessions`, 'POST', BOB))}`
  const profile = await request(`${two.url}/profile`, 'GET', undefined, { cookie })
  t.match(profile, { status: 200, body: { email: BOB.email } }, 'a session of one is seen by the other')
  t.match(await request(`${two.url}/sessions`, 'DELETE', undefined, { cookie }), { status: 302 })
  t.match(await request(`${one.url}/profile`, 'GET', undefined, { cookie }), { status: 403 })

  const { body } = await request(`${one.url}/reset_password`, 'POST', { email: 'BOB@me.com' })
  const form = { email: BOB.email, reset_token: String(Object(body).reset_token) }
  const resets = await Promise.all(
    Array.from({ length: 8 }, (_, i) =>
      request(`${urlOf(i)}/reset_password`, 'PUT', { ...form, new_password: `${i}` }),
    ),
  )
  t.equal(resets.filter(({ status }) => status === 200).length, 1, 'one use of a reset token wins')
  t.match(await request(`${one.url}/sessions`, 'POST', { ...BOB, email: 'nul\0@me.com' }), { status: 401 })
})

t.test('the store recovers from cut connections, and from a database that was away', NEEDS_POSTGRES, async (t) => {
  const { url, name, admin } = await createDatabase(t)
  const engine = await openEngine(t, `${url}?max=3`)
  const insert = (email: string) => engine.insert(email, 'x')
  await Promise.all(['a', 'b', 'c', 'd', 'e'].map(insert))
  t.ok(Number((await admin.query(CUT, [name])).rowCount) <= 3, 'the pool is bounded')
  await until(() => insert('f'))
  await admin.query(`alter database ${name} allow_connections false`)
  await admin.query(CUT, [name])
  const message = `the database: database "${name}" is not currently accepting connections`
  const away = { name: 'StoreError', message }
  // A cut connection may not be noticed before it is used.
  await until(async () => String(await insert('g').catch((error) => error)).includes(message) || undefined)
  await t.rejects(engine.find({ id: 1 }), away)
  await t.rejects(engine.check(), away)
  await admin.query(`alter database ${name} allow_connections true`)
  await insert('h')
  await engine.check()
})

t.test('a statement that hangs delays no other', NEEDS_POSTGRES, async (t) => {
  const { url, name, admin } = await createDatabase(t)
  const engine = await openEngine(t, `${url}?max=2`, { ...LIMITS, statementMs: 500, hangMs: 1000 })
  await engine.insert('bob@me.com', 'x')
  const other = await connectTo(t, url)
  await other.query('begin; select from users for update')
  const update = () => engine.update({ id: 1 }, { reset_token: 'x' })
  const refused = { name: 'StoreError', message: 'the database: canceling statement due to statement timeout' }
  const slow = t.rejects(update(), refused, 'given up by the database')
  const others = Array.from({ length: 50 }, (_, i) => engine.insert(`${i}`, 'x'))
  t.equal((await Promise.all(others)).length, 50)
  await slow

  const lost = t.rejects(update(), { message: /terminating connection .*; the change may have been made$/ })
  await endWaiting(admin, name)
  await lost

  const silent = t.rejects(update(), { message: 'the database: Query read timeout; the change may have been made' })
  let pids: number[] = []
  while (pids.length === 0) pids = (await admin.query(WAITING, [name])).rows.map(({ pid }) => pid)
  try {
    for (const pid of pids) process.kill(pid, 'SIGSTOP')
    await silent
  } catch (error) {
    t.match(error, { code: 'EPERM' }, 'not allowed to stop a process of the database')
  } finally {
    spawnSync('kill', ['-CONT', ...pids.map(String)])
  }
  await other.query('rollback')
  t.ok(await update())
})

t.test('while the database is read-only, writes get 503 and reads go on', NEEDS_POSTGRES, async (t) => {
  const { url, name, admin } = await createDatabase(t)
  const { url: service } = await startService(t, { DATABASE_URL: `${url}?max=4` })
  const { error: print } = console
  const reasons: string[] = []
  const value = (line: string) => (/read-only transaction$/.test(line) ? reasons.push(line) : print(line))
  t.intercept(console, 'error', { value })
  const ask = async (path: string, body?: Record<string, string>) =>
    (await request(`${service}${path}`, body === undefined ? 'GET' : 'POST', body)).status
  t.equal(await ask('/users', BOB), 200)
  const turn = async (to: string) => admin.query(`alter database ${name} set default_transaction_read_only = ${to}`)
  await turn('on')
  await admin.query(CUT, [name])
  const read = () => ask('/sessions', { ...BOB, password: 'wrong' })
  // A cut connection may not be noticed before it is used.
  await until(async () => (await read()) === 401 || undefined)
  for (let i = 0; i < 5; i++) {
    t.equal(await ask('/users', { ...BOB, email: 'c@d' }), 503)
    t.equal(await ask('/healthz'), 503)
    t.equal(await read(), 401, 'reads go on')
  }
  t.strictSame(reasons, Array(5).fill('the database: cannot execute INSERT in a read-only transaction'))
  await turn('off')
  await until(async () => (await ask('/healthz')) === 200 || undefined)
  await until(async () => (await ask('/users', { ...BOB, email: `${Math.random()}@d` })) === 200 || undefined)
  const writes = Array.from({ length: 8 }, (_, i) => ask('/users', { ...BOB, email: `${i}@d` }))
  t.strictSame(await Promise.all(writes), Array(8).fill(200))
})

t.test('an invalid row is refused with its id, and does not affect other lookups', NEEDS_POSTGRES, async (t) => {
  const { url } = await createDatabase(t)
  const engine = await openEngine(t, url)
  const sql = await connectTo(t, url)
  await sql.query(`alter table users alter hashed_password drop not null`)
  await sql.query(`insert into users (id, email, hashed_password, session_id)
    values (-1, 'negative', 'x', 'a'), (3, 'null', null, 'b'), (4, 'good', 'x', 'c')`)
  const refused = (id: number, reason: string) => ({
    name: 'StoreError',
    message: `the database: the row with id ${id}: ${reason}`,
  })
  const negative = refused(-1, 'id must be a positive integer')
  const without = refused(3, 'hashed_password must be a string of at most 250 characters, well-formed and without NUL')
  await Promise.all([
    t.rejects(engine.find({ email: 'negative' }), negative),
    t.rejects(engine.find({ id: 3 }), without),
    t.rejects(engine.find({ session_id: 'a' }), negative),
    t.rejects(engine.find({ session_id: 'b' }), without),
    engine.find({ session_id: 'c' }).then((user) => t.match(user, { id: 4 })),
  ])
  await sql.query('alter sequence users_id_seq minvalue 0 restart 0')
  await t.rejects(engine.insert('zero', 'x'), refused(0, 'id must be a positive integer'))
})

t.test('transactions that the database aborts because of others are tried again', NEEDS_POSTGRES, async (t) => {
  for (const isolation of ['serializable', 'repeatable read']) {
    const { url, name, admin } = await createDatabase(t)
    await admin.query(`alter database ${name} set default_transaction_isolation = '${isolation}'`)
    const [engine] = await Promise.all([openEngine(t, url), openEngine(t, url)])
    const emails = Array.from({ length: 40 }, (_, i) => `${i}@b`)
    const users = await Promise.all(emails.map((email) => engine.insert(email, 'x')))
    // Not 1 and 2: an INSERT that is tried again uses up an id.
    const ids = users.slice(0, 2).map(({ id }) => id)
    const updates = emails.map((email, i) => engine.update({ id: ids[i % 2] ?? 0 }, { session_id: email }))
    t.notOk((await Promise.all(updates)).includes(false), isolation)
  }
})

t.test('close() waits for the calls that were made before it', NEEDS_POSTGRES, async (t) => {
  const { url } = await createDatabase(t)
  const engine = new Postgres(await poolAt(`${url}?max=1`)())
  const inserts = Array.from({ length: 20 }, (_, i) => engine.insert(`${i}`, 'x'))
  await engine.close()
  t.equal((await Promise.all(inserts)).length, 20)
  const second = new Postgres(await poolAt(url)())
  await second.update({ id: 1 }, { session_id: 'one' })
  const found = second.find({ session_id: 'one' })
  await second.close()
  t.match(await found, { id: 1 })
})

/** A proxy in front of a database, and the connections to it, of which each can be stopped. */
async function createProxy(t: Test, url: string): Promise<{ proxied: URL; sockets: Socket[] }> {
  const { hostname, port } = new URL(url)
  const sockets: Socket[] = []
  const proxy = await serve(t, (socket) => {
    const database = connect(Number(port || 5432), hostname)
    sockets.push(socket.on('close', () => database.destroy()))
    socket.pipe(database).pipe(socket)
  })
  return { proxied: Object.assign(new URL(url), { host: `127.0.0.1:${proxy}` }), sockets }
}

t.test('a search for a session that hangs delays no other', NEEDS_POSTGRES, async (t) => {
  const { url } = await createDatabase(t)
  const { proxied, sockets } = await createProxy(t, url)
  const engine = await openEngine(t, `${proxied}?max=2`, { ...LIMITS, hangMs: 2000 })
  await engine.insert('bob@me.com', 'x')
  await engine.update({ id: 1 }, { session_id: 'one' })
  sockets[0]?.unpipe().pause()
  let isOver = false
  const hanging = t.rejects(engine.find({ session_id: 'two' })).then(() => (isOver = true))
  await new Promise(setImmediate)
  while (sockets.length < 2) t.match(await engine.find({ session_id: 'one' }), { id: 1 })
  t.notOk(isOver)
  await hanging
})

t.test('close() does not wait for a connection to a database that hangs', NEEDS_POSTGRES, async (t) => {
  const { url } = await createDatabase(t)
  const { proxied, sockets } = await createProxy(t, url)
  const engine = new Postgres(await poolAt(`${proxied}?max=1`, { ...LIMITS, hangMs: 1800, connectMs: 2000 })())
  sockets[0]?.unpipe().pause()
  await t.rejects(Promise.all([engine.find({ id: 1 }), engine.find({ id: 2 })]))
  while (sockets.length < 2) await new Promise(setImmediate)
  // The second call gives up while its connection, which began only when the first one hung, is still being made.
  let isOver = false
  sockets[1]
    ?.unpipe()
    .resume()
    .on('close', () => (isOver = true))
  await engine.close()
  t.notOk(isOver)
})

t.test('a start without the database, or without the driver, is refused in one line', async (t) => {
  const env = { HOST: '127.0.0.1', PORT: '0', DATABASE_URL: 'postgres://root:secret@127.0.0.1:1/root' }
  const away = new Program('server.ts', env)
  t.match(await away.exited, { code: 1 })
  t.match(away.stderr, /^cannot open the database: connect ECONNREFUSED 127.0.0.1:1\n$/)
  const hook = `export async function resolve(name, context, next) { return next(name === 'pg' ? 'no-pg' : name, context) }`
  const register = `import { register } from 'node:module'; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hook)}`)})`
  const driverless = new Program('server.ts', env, ['--import', `data:text/javascript,${encodeURIComponent(register)}`])
  t.match(await driverless.exited, { code: 1 })
  t.equal(driverless.stderr, 'the PostgreSQL driver is missing: run npm install pg\n')
})

t.test('users are moved to a PostgreSQL URL only', async (t) => {
  const path = writeStore(t, { '': table(row(1)) })
  const message = /^expected postgres:\/\/USER:PASSWORD@HOST:PORT\/DATABASE\?max=10, with one host/
  for (const url of ['memory:', 'file:users.json', 'mysql://root@h/x', 'postgres:x', '/x']) {
    await t.rejects(moveUsers(path, url), { name: 'ValueError', message }, url)
  }
})

t.test('one command moves users.json into the database', NEEDS_POSTGRES, async (t) => {
  const { url, name, admin } = await createDatabase(t)
  const path = `${tempDir(t)}/users.json`
  writeFileSync(path, table(...Array.from({ length: 2500 }, (_, i) => row(2 * i + 1, { session_id: `s${i}` }))))
  const file = new DB(`file:${path}`)
  await file.open()
  await t.rejects(moveUsers(path, url), { message: /is held by / }, 'not while a server has it open')
  await file.close()
  const before = readFileSync(path, 'utf8')

  await t.rejects(moveUsers(path, url.replace(name, 'no_such')), {
    message: /^cannot open .* "no_such" does not exist$/,
  })
  t.equal(await outcomeOf(url), 'open')
  const other = await connectTo(t, url)
  await other.query('begin; lock table users in share mode')
  const moving = t.rejects(moveUsers(path, url), { message: 'terminating connection due to administrator command' })
  await endWaiting(admin, name)
  await moving
  await other.query('rollback')

  writeFileSync(`${path}-wal`, log([row(3, { email: 'newer@me.com' })]))
  const command = new Program('lib/db/to-postgres.ts', {}, [], [path, url])
  t.match(await command.exited, { code: 0 })
  t.equal(command.stdout + command.stderr, `users moved from ${path} into the database: 2500\n`)
  t.equal(readFileSync(path, 'utf8'), before)
  const db = dbAt(t, url)
  t.match(await db.findUserBy({ session_id: 's1234' }), { id: 2469, email: 'user2469@me.com', hashed_password: 'x' })
  t.match(await db.findUserBy({ email: 'newer@me.com' }), { id: 3 }, 'what the log holds is moved too')
  t.equal((await db.addUser('new@me.com', 'x')).id, 5000)
  const again = new Program('lib/db/to-postgres.ts', {}, [], [path, url])
  t.match(await again.exited, { code: 1 })
  t.equal(again.stderr, 'the database has users already; nothing was changed\n')
  const incomplete = new Program('lib/db/to-postgres.ts', {}, [], [path])
  t.match(await incomplete.exited, { code: 1 })
  t.match(incomplete.stderr, /^usage: npm run to-postgres -- users.json postgres:.*\n$/)
  await t.rejects(moveUsers(`${path}.no`, url), { message: /no such file$/ })
  writeFileSync(`${path}2`, '{')
  t.match(await moveUsers(`${path}2`, url).catch(String), /not readable as JSON/)

  await other.query('delete from users')
  writeFileSync(`${path}2`, table(row(1)))
  t.equal(await moveUsers(`${path}2`, url), 1)
  t.equal((await db.addUser('newer@me.com', 'x')).id, 5001, 'no id comes back')
})
