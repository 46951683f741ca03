/** Connections to PostgreSQL: servers that hang up, TLS, PgBouncer, and scripts that never close. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { DB } from '../../../db.ts'
import { createDatabase, NEEDS_POSTGRES } from '../../helper/postgres.ts'
import { Program, runScript, startServer, tempDir } from '../../helper/program.ts'

// Most of the time goes into waiting for limits of the service, which may run out at the same time.
t.jobs = 4

/** Starts a server that does one thing with each connection; resolves with it and its URL. */
async function listen(t: Test, onConnection: (socket: Socket) => void): Promise<{ server: Server; url: string }> {
  const server = createServer(onConnection).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  return { server, url: `postgres://root@127.0.0.1:${Object(server.address()).port}/root` }
}

t.test('a server that hangs up keeps the service from starting', async (t) => {
  let connections = 0
  const { url } = await listen(t, (socket) => {
    connections++
    socket.on('error', () => {}).end()
  })
  const server = new Program('server.ts', { DATABASE_URL: url, HOST: '127.0.0.1', PORT: '0' })
  t.match(await server.exited, { code: 1 })
  t.match(
    server.stderr,
    /^[^\n]*cannot open the database: 127.0.0.1:\d+ closed the connection without an answer; is it PostgreSQL\?\n$/,
  )
  t.equal(connections, 1)
})

t.test('a server that says nothing, or something and no more', async (t) => {
  const { url } = await listen(t, (socket) => socket.on('error', () => {}).resume())
  const chatty = await listen(t, (socket) => socket.on('error', () => {}).end('x'))
  const [silent, short] = [new DB(url).open(), new DB(chatty.url).open()]
  short.catch(() => {})
  await t.rejects(silent, { name: 'StoreError', message: /^cannot open the database: .*CONNECT_TIMEOUT/ })
  await t.rejects(short, { name: 'StoreError', message: /did not answer within 4 seconds/ })
})

t.test('sslmode on a server without TLS', async (t) => {
  const { url } = await listen(t, (socket) => socket.on('error', () => {}).on('data', () => socket.write('N')))
  for (const mode of ['require', 'verify-full']) {
    await t.rejects(new DB(`${url}?sslmode=${mode}`).open(), {
      name: 'StoreError',
      message: 'cannot open the database: the server has no TLS; turn it on there, or leave sslmode out of the URL',
    })
  }
})

t.test('a script that never closes its DB ends by itself, and has lost nothing', NEEDS_POSTGRES, async (t) => {
  const { url } = await createDatabase(t)
  const script = `
    import { DB } from './db.ts'
    const db = new DB('${url}')
    await db.addUser('a@b', 'x')
    process.on('exit', () => console.log(performance.now() - started))
    const started = performance.now()
    void db.addUser('late@b', 'x')`
  const program = runScript(script)
  await program.exited
  const { stdout, stderr } = program
  t.equal(stderr, '')
  t.ok(Number(stdout) < 2000, `${stdout} ms`)
  const db = new DB(url)
  t.teardown(() => db.close())
  t.equal(await db.countUsers(), 2)
})

const HAS_PGBOUNCER = spawnSync('pgbouncer', ['--version']).status === 0
const NEEDS_PGBOUNCER = {
  skip: NEEDS_POSTGRES.skip || (HAS_PGBOUNCER ? false : 'no PgBouncer: install pgbouncer to run this test'),
}

/** Starts a PgBouncer in transaction mode, before the database of a URL; resolves with its URL. */
async function startPgBouncer(t: Test, url: string, ...settings: string[]): Promise<string> {
  const { hostname, port, username, password } = new URL(url)
  const directory = tempDir(t)
  chmodSync(directory, 0o755)
  const { server, url: free } = await listen(t, () => {})
  server.close()
  const pooled = Object.assign(new URL(url), { host: new URL(free).host })
  writeFileSync(`${directory}/users.txt`, `"${username}" "${password}"\n`)
  const ini = [
    '[databases]',
    `* = host=${hostname} port=${port || 5432}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${pooled.port}`,
    'unix_socket_dir =',
    'auth_type = trust',
    `auth_file = ${directory}/users.txt`,
    'pool_mode = transaction',
    'default_pool_size = 2',
    ...settings,
  ]
  writeFileSync(`${directory}/pgbouncer.ini`, `${ini.join('\n')}\n`)
  // It refuses to run as root.
  const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}
  const pooler = spawn('pgbouncer', [`${directory}/pgbouncer.ini`], { ...user, stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = once(pooler, 'exit')
  t.teardown(async () => {
    pooler.kill('SIGKILL')
    await exited
  })
  let log = ''
  pooler.stderr.on('data', (data) => (log += data))
  while (!/process up/.test(log)) {
    const [code] = await Promise.race([once(pooler.stderr, 'data').then(() => [undefined]), exited])
    if (code !== undefined) throw new Error(`PgBouncer ended: ${log}`)
  }
  return pooled.href
}

t.test('through PgBouncer in transaction mode every answer is the right one', NEEDS_PGBOUNCER, async (t) => {
  const { url } = await createDatabase(t)
  const pooled = await startPgBouncer(t, url, 'ignore_startup_parameters = statement_timeout')
  const dbs = [new DB(pooled), new DB(pooled)]
  for (const db of dbs) t.teardown(() => db.close())
  const users = Array.from({ length: 20 }, (_, i) => ({ id: i + 1, email: `${i}@x`, session_id: `s${i}` }))
  for (const { id, email, session_id } of users) {
    await dbs[0]?.addUser(email, 'x')
    await dbs[0]?.updateUser(id, { session_id })
  }
  const wrong: unknown[] = []
  // Many statements at once, over more connections than PgBouncer has to the database.
  await Promise.all(
    dbs.flatMap((db) =>
      users.map(async ({ id, email, session_id }) => {
        for (let i = 0; i < 20; i++) {
          const calls = [
            db.findUserBy({ email }),
            db.findUserBy({ session_id }),
            db.updateUser(id, { reset_token: 'x' }),
          ]
          for (const result of await Promise.allSettled(calls)) {
            if (result.status === 'rejected') wrong.push(result.reason)
            else if (result.value !== undefined && result.value.id !== id) wrong.push(result.value)
          }
        }
      }),
    ),
  )
  t.strictSame(wrong, [])
})

t.test('a PgBouncer that refuses a start-up parameter', NEEDS_PGBOUNCER, async (t) => {
  const { url } = await createDatabase(t)
  const pooled = await startPgBouncer(t, url)
  await t.rejects(new DB(pooled).open(), {
    name: 'StoreError',
    message:
      'cannot open the database: unsupported startup parameter: statement_timeout; ' +
      'in PgBouncer, set ignore_startup_parameters = statement_timeout',
  })
})

t.test('a database that goes away behind a balancer is tried again, with a pause', NEEDS_POSTGRES, async (t) => {
  const { url } = await createDatabase(t)
  const { hostname, port } = new URL(url)
  let isThere = true
  const times: number[] = []
  const sockets = new Set<Socket>()
  const balancer = await listen(t, (socket) => {
    socket.on('error', () => {})
    if (!isThere) {
      times.push(performance.now())
      return socket.end()
    }
    const upstream = connect(Number(port || 5432), hostname).on('error', () => {})
    sockets.add(socket).add(upstream)
    return socket.pipe(upstream).pipe(socket)
  })
  const through = Object.assign(new URL(url), { host: new URL(balancer.url).host, search: '?max=1' })
  const server = await startServer(t, { DATABASE_URL: through.href })
  const post = async () => {
    const body = new URLSearchParams({ email: `${Math.random()}@me.com`, password: 'p' })
    return (await fetch(`${server.url}/users`, { method: 'POST', body })).status
  }
  t.equal(await post(), 200)
  isThere = false
  for (const socket of sockets) socket.destroy()
  for (let i = 0; i < 4; i++) t.equal(await post(), 503)
  const pauses = times.slice(1).map((time, i) => time - (times[i] ?? 0))
  t.ok(pauses.length > 0 && pauses.every((pause) => pause > 400), `${pauses.map(Math.round)} ms`)
  isThere = true
  while ((await post()) !== 200) await new Promise((resolve) => setTimeout(resolve, 100))
})
