/** Whether the service is well: with a file, with PostgreSQL, and while it stops. */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { LIMITS } from '../../../../lib/db/pool.ts'
import { request } from '../../../helper/http.ts'
import { createDatabase, NEEDS_POSTGRES } from '../../../helper/postgres.ts'
import { startServer, tempDir } from '../../../helper/program.ts'

// Most of the time goes into waiting for limits of the service, which may run out at the same time.
t.jobs = 4

const WELL = { status: 200, body: { message: 'ok' } }
const AWAY = { status: 503, body: { message: 'the store does not answer' } }

t.test('with a file that is no longer its own', async (t) => {
  const at = `${tempDir(t)}/users.json`
  const server = await startServer(t, { DATABASE_URL: `file:${at}` })
  t.match(await request(`${server.url}/healthz`, 'GET'), WELL)
  rmSync(`${at}-lock`)
  // The service notices this by itself too, every few seconds, and ends.
  const answered = await request(`${server.url}/healthz`, 'GET').catch(() => server.exited)
  if ('body' in answered) {
    t.match(answered, AWAY)
    t.equal(answered.headers.get('retry-after'), '1')
  }
  t.match(await server.exited, { code: 1 })
})

t.test('while the service stops', async (t) => {
  const server = await startServer(t)
  const socket = connect({ port: server.port, host: '127.0.0.1' })
  let received = ''
  socket.on('data', (data) => (received += data))
  // A request that has begun keeps the service from ending.
  socket.write('GET /healthz HTTP/1.1\r\n')
  await request(server.url, 'GET')
  server.child.kill('SIGTERM')
  for (let listens = true; listens;) {
    const other = connect({ port: server.port, host: '127.0.0.1' })
    listens = await once(other, 'connect').then(
      () => true,
      () => false,
    )
    other.destroy()
  }
  socket.write('Host: x\r\n\r\n')
  await once(socket, 'close')
  t.match(received, /^HTTP\/1\.1 503 .*\{"message":"the service is stopping"\}\n$/s)
  t.match(await server.exited, { code: 0 })
})

t.test('with a database that is away, or does not answer', NEEDS_POSTGRES, async (t) => {
  const { url, name, admin } = await createDatabase(t)
  const server = await startServer(t, { DATABASE_URL: url })
  const ask = () => request(`${server.url}/healthz`, 'GET')
  const until = async (expected: typeof WELL) => {
    while ((await ask()).status !== expected.status) await delay(20)
    t.match(await ask(), expected)
  }
  t.match(await ask(), WELL)
  const { rows: backends } = await admin.query('select pid from pg_stat_activity where datname = $1', [name])
  try {
    for (const { pid } of backends) process.kill(pid, 'SIGSTOP')
    const asked = Date.now()
    t.match(await ask(), AWAY)
    t.ok(Date.now() - asked < LIMITS.hangMs, 'it does not wait as long as other requests do')
  } catch (error) {
    t.match(error, { code: 'EPERM' }, 'not allowed to stop a process of the database')
  } finally {
    for (const { pid } of backends) spawnSync('kill', ['-CONT', `${pid}`])
  }
  await until(WELL)
  await admin.query(`alter database ${name} allow_connections false`)
  await admin.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name])
  await until(AWAY)
  await admin.query(`alter database ${name} allow_connections true`)
  await until(WELL)
})
