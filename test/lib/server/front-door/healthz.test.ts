/** GET /healthz with a file, with PostgreSQL, and while the service stops. */
import { spawnSync } from 'node:child_process'
import { renameSync } from 'node:fs'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { request } from '../../../helper/http.ts'
import { connectTo, createDatabase, NEEDS_POSTGRES } from '../../../helper/postgres.ts'
import { tempDir } from '../../../helper/program.ts'
import { startService } from '../../../helper/service.ts'
import { dbAt } from '../../../helper/store.ts'

const WELL = { status: 200, body: { message: 'ok' } }
const AWAY = { status: 503, body: { message: 'the store does not answer' } }

t.test('/healthz answers 503 while the log is not in its place', async (t) => {
  const path = `${tempDir(t)}/users.json`
  const { url } = await startService(t, { DATABASE_URL: `file:${path}` })
  const ask = () => request(`${url}/healthz`, 'GET')
  t.match(await ask(), WELL)
  renameSync(`${path}-wal`, `${path}-gone`)
  const answered = await ask()
  t.match(answered, AWAY)
  t.equal(answered.headers.get('retry-after'), '1')
  renameSync(`${path}-gone`, `${path}-wal`)
  t.match(await ask(), WELL)
})

t.test('/healthz answers 503 while the service stops', async (t) => {
  const { server, stopping, port, url } = await startService(t)
  const socket = connect({ port, host: '127.0.0.1' })
  // A request that has begun keeps its connection open.
  socket.write('GET /healthz HTTP/1.1\r\n')
  await request(url, 'GET')
  stopping.abort()
  server.close()
  socket.write('Host: x\r\n\r\n')
  t.match(await text(socket), /^HTTP\/1\.1 503 .*\{"message":"the service is stopping"\}\n$/s)
})

t.test('/healthz answers 503 while the database is away or silent', NEEDS_POSTGRES, async (t) => {
  const { url: DATABASE_URL, name, admin } = await createDatabase(t)
  const { url } = await startService(t, { DATABASE_URL })
  const db = dbAt(t, DATABASE_URL)
  const ask = () => request(`${url}/healthz`, 'GET')
  const untilWell = async () => {
    while ((await ask()).status !== 200);
    t.match(await ask(), WELL)
  }
  t.match(await ask(), WELL)
  await db.check()
  const { rows: backends } = await admin.query('select pid from pg_stat_activity where datname = $1', [name])
  try {
    for (const { pid } of backends) process.kill(pid, 'SIGSTOP')
    await t.rejects(db.check(), { message: 'the store has not answered for 1.5 seconds' }, 'a check has a time limit')
    t.match(await ask(), AWAY)
  } catch (error) {
    t.match(error, { code: 'EPERM' }, 'not allowed to stop a process of the database')
  } finally {
    for (const { pid } of backends) spawnSync('kill', ['-CONT', `${pid}`])
  }
  await untilWell()
  await admin.query(`alter database ${name} allow_connections false`)
  // Repeatedly, as a connection that is being opened may still come through.
  while ((await ask()).status === 200) {
    await admin.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name])
  }
  t.match(await ask(), AWAY)
  await admin.query(`alter database ${name} allow_connections true`)
  await untilWell()
  await (await connectTo(t, DATABASE_URL)).query('drop table users')
  t.match(await ask(), AWAY, 'nor is the database of use without its table')
})
