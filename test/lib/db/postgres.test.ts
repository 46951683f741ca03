/** The service over a real PostgreSQL: several processes, races, and a database that goes away. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { DB } from '../../../db.ts'
import { request, sessionOf } from '../../helper/http.ts'
import { connectTo, createDatabase, NEEDS_POSTGRES } from '../../helper/postgres.ts'
import { Program, startServer, tempDir } from '../../helper/program.ts'

// Most of the time goes into waiting for limits of the service, which may run out at the same time.
t.jobs = 3

const BOB = { email: 'bob@me.com', password: 'right' }

/** Asks again and again until the answer has this status; how long that may take is up to tap's own limit. */
async function until(status: number, ask: () => Promise<{ status: number }>): Promise<void> {
  while ((await ask()).status !== status) await new Promise((resolve) => setTimeout(resolve, 100))
}

t.test('several processes, one table', NEEDS_POSTGRES, async (t) => {
  const { url: DATABASE_URL } = await createDatabase(t)
  const start = () => startServer(t, { DATABASE_URL, LOGIN_FAILURES: '0' })
  const [one, two] = await Promise.all([start(), start(), start(), start()])
  const both = (i: number) => (i % 2 === 0 ? one.url : two.url)

  const tries = Array.from({ length: 40 }, (_, i) => request(`${both(i)}/users`, 'POST', BOB))
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
    Array.from({ length: 8 }, (_, i) => request(`${both(i)}/reset_password`, 'PUT', { ...form, new_password: `${i}` })),
  )
  t.equal(resets.filter(({ status }) => status === 200).length, 1, 'one use of a reset token wins')
  t.match(await request(`${one.url}/sessions`, 'POST', { ...BOB, email: 'nul\0@me.com' }), { status: 401 })
})

t.test('connections that are cut, a database that is away and comes back', NEEDS_POSTGRES, async (t) => {
  const { url, name, admin } = await createDatabase(t)
  const server = await startServer(t, { DATABASE_URL: `${url}?max=3` })
  const register = (email: string) => request(`${server.url}/users`, 'POST', { ...BOB, email })
  const cut = () => admin.query(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`)
  t.match(await register('a@me.com'), { status: 200 })
  const { rowCount } = await admin.query('select from pg_stat_activity where datname = $1', [name])
  t.ok(Number(rowCount) <= 3, 'the pool is bounded')
  await cut()
  await until(200, () => register('b@me.com'))

  await admin.query(`alter database ${name} allow_connections false`)
  await cut()
  const away = await register('c@me.com')
  t.match(away, { status: 503, body: { message: 'the store is not available' } })
  t.equal(away.headers.get('retry-after'), '1')
  t.match(await request(server.url, 'GET'), { status: 200 })
  await admin.query(`alter database ${name} allow_connections true`)
  await until(200, () => register('d@me.com'))
  t.match(await register('c@me.com'), { status: 200 })
  t.notMatch(server.stderr, /\n\s+at /)
})

t.test('a statement that hangs is given up', NEEDS_POSTGRES, async (t) => {
  const { url, name, admin } = await createDatabase(t)
  const server = await startServer(t, { DATABASE_URL: url })
  const register = (email: string) => request(`${server.url}/users`, 'POST', { ...BOB, email })
  const other = await connectTo(t, url)
  await other.query('begin; lock table users in access exclusive mode')
  t.match(await register('locked@me.com'), { status: 503 }, 'by the database')
  await other.query('rollback')
  t.match(await register('locked@me.com'), { status: 200 })
  const { rows: backends } = await admin.query('select pid from pg_stat_activity where datname = $1', [name])
  try {
    for (const { pid } of backends) process.kill(pid, 'SIGSTOP')
    t.match(await register('stopped@me.com'), { status: 503 }, 'by the service, when nothing comes back at all')
    t.match(await register('stopped@me.com'), { status: 200 }, 'the next one has a new connection')
  } catch (error) {
    t.match(error, { code: 'EPERM' }, 'not allowed to stop a process of the database')
  } finally {
    for (const { pid } of backends) spawnSync('kill', ['-CONT', `${pid}`])
  }
})

t.test('no database, no driver, no open', async (t) => {
  const env = { HOST: '127.0.0.1', PORT: '0', DATABASE_URL: 'postgres://root:secret@127.0.0.1:1/root' }
  const away = new Program('server.ts', env)
  t.match(await away.exited, { code: 1 })
  t.match(away.stderr, /^cannot open the database: connect ECONNREFUSED 127.0.0.1:1\n$/)
  const hook = `export async function resolve(name, context, next) { return next(name === 'pg' ? 'no-pg' : name, context) }`
  const register = `import { register } from 'node:module'; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hook)}`)})`
  const driverless = new Program('server.ts', env, ['--import', `data:text/javascript,${encodeURIComponent(register)}`])
  t.match(await driverless.exited, { code: 1 })
  t.equal(driverless.stderr, 'the PostgreSQL driver is missing: run npm install pg\n')
  const bad = new Program('server.ts', { ...env, DATABASE_URL: 'postgres://root:secret@127.0.0.1/root?max=x' })
  t.match(await bad.exited, { code: 1 })
  t.match(bad.stderr, /^DATABASE_URL=postgres:\/\/root:\*\*\*@127.0.0.1\/root\?max=x: expected /)
  await t.rejects(new DB(env.DATABASE_URL).findUserBy({ id: 1 }), { name: 'StoreError' })
})

t.test('users.json is carried over in one command', NEEDS_POSTGRES, async (t) => {
  const { url } = await createDatabase(t)
  const path = `${tempDir(t)}/users.json`
  const file = await startServer(t, { DATABASE_URL: `file:${path}` })
  for (let i = 0; i < 3; i++) await request(`${file.url}/users`, 'POST', { ...BOB, email: `${i}@me.com` })
  const login = { ...BOB, email: '1@me.com' }
  const cookie = `session_id=${sessionOf(await request(`${file.url}/sessions`, 'POST', login))}`
  const move = async (from: string) => {
    const program = new Program('lib/db/to-postgres.ts', {}, [], [from, url])
    return { code: (await program.exited).code, said: program.stdout + program.stderr }
  }
  t.match(await move(path), { code: 1, said: /is held by process \d+; stop it first\n$/ }, 'not while a server has it')
  await file.stop()
  const before = readFileSync(path, 'utf8')
  t.match(await move(path), { code: 0, said: `3 users moved from ${path} into the database\n` })
  t.equal(readFileSync(path, 'utf8'), before)
  const server = await startServer(t, { DATABASE_URL: url })
  t.match(await request(`${server.url}/profile`, 'GET', undefined, { cookie }), {
    status: 200,
    body: { email: '1@me.com' },
  })
  t.match(await request(`${server.url}/sessions`, 'POST', { ...BOB, email: '2@me.com' }), { status: 200 })
  t.match(await request(`${server.url}/users`, 'POST', { ...BOB, email: 'new@me.com' }), { status: 200 })
  t.match(await move(path), { code: 1, said: 'the database has users already; nothing was changed\n' })
  t.match(await move(`${path}.no`), { code: 1, said: /no such file\n$/ })
  writeFileSync(`${path}2`, '{')
  t.match(await move(`${path}2`), { code: 1, said: /not readable as JSON/ })
})
