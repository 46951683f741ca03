/**
 * Connections to PostgreSQL: the URLs that people write, TLS, servers that do not answer, and scripts that never close.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { TLSSocket } from 'node:tls'
import { Auth } from '../../../auth.ts'
import { LIMITS } from '../../../lib/db/pool.ts'
import { serve } from '../../helper/http.ts'
import { createDatabase, NEEDS_POSTGRES, outcomeOf } from '../../helper/postgres.ts'
import { runScript, tempDir } from '../../helper/program.ts'
import { dbAt } from '../../helper/store.ts'

t.test('every common form of URL opens the database', NEEDS_POSTGRES, async (t) => {
  const { url, name, admin } = await createDatabase(t)
  const { hostname, port, username, password } = new URL(url)
  const { rows } = await admin.query<{ directory: string }>(
    "select split_part(current_setting('unix_socket_directories'), ',', 1) as directory",
  )
  const directory = rows[0]?.directory ?? ''
  const user = `${username}${password && `:${password}`}`
  const socket = `host=${encodeURIComponent(directory)}&port=${port || 5432}`
  const isHere = ['127.0.0.1', 'localhost'].includes(hostname)
  for (const [text, skip = false] of [
    [`${url}?max=2&application_name=app&options=-c%20search_path%3Dpublic`],
    [`${url}?sslmode=prefer&channel_binding=require&gssencmode=prefer&keepalives=1&keepalives_idle=30`],
    [`${url}?sslmode=allow`],
    [`postgresql://${user}@${hostname}:${port || 5432}/${name}?target_session_attrs=any`],
    [`postgres:///${name}?user=${username}&password=${password}&${socket}`, !isHere],
    [`postgres:///${name}?user=${username}&${socket.replaceAll('%2F', '/')}`, !isHere],
    [`postgres://${user}@/${name}?${socket}`, !isHere],
    [`postgres://${user}@localhost/${name}?${socket}`, !isHere],
    [`postgres://${user}@${encodeURIComponent(directory)}:${port || 5432}/${name}`, !isHere],
  ] as const) {
    if (!skip) t.equal(await outcomeOf(text), 'open', text)
  }
  t.match(await outcomeOf('postgres://me@[::1]:1/x'), /ECONNREFUSED ::1:1|EADDRNOTAVAIL|EAFNOSUPPORT/)
  t.match(await outcomeOf('postgres://me@localhost:1/x'), /^cannot open the database: connect ECONNREFUSED \S+:1$/)
})

t.test('an invalid URL is refused in a line without the password', async (t) => {
  const expected =
    'expected postgres://USER:PASSWORD@HOST:PORT/DATABASE?max=10, with one host; ' +
    'write / ? # in a password as %2F %3F %23'
  const others = 'expected file:PATH, memory: or postgres://USER:PASSWORD@HOST:PORT/DATABASE'
  const encode = 'write a % in a password as %25'
  for (const [url, shown, reason] of [
    ['postgres://me:secret@h/x?max=0', 'postgres://me:***@h/x?max=0', expected],
    ['postgres://me@corp:secret@h/x?max=0', 'postgres://me@corp:***@h/x?max=0', expected],
    ['postgres://us/er:secret@h/x?max=0', 'postgres://us/er:***@h/x?max=0', expected],
    ['postgres://h/x?user=me&password=secret&max=0', 'postgres://h/x?user=me&password=***&max=0', expected],
    ['postgres://me:secret@h1,h2/x', 'postgres://me:***@h1,h2/x', expected],
    ['postgres://me:secret@/x?host=h1,h2', 'postgres://me:***@/x?host=h1,h2', expected],
    ['postgres://me:sec/ret@h/x', 'postgres://me:***@h/x', expected],
    ['postgres://me:sec?ret@h/x', 'postgres://me:***@h/x', expected],
    ['postgres://me:secret%@h/x', 'postgres://me:***@h/x', encode],
    ['postgres://me:%ffsecret@h/x', 'postgres://me:***@h/x', encode],
    ['postgres://h/x?max=0&password=se"cret&user=me', 'postgres://h/x?max=0&password=***&user=me', expected],
    ['postgres://h/x?max=0&sslpassword=s', 'postgres://h/x?max=0&sslpassword=***', expected],
    ['host=h password=secret user=u', 'host=h password=***', others],
    ['password = se&cret', 'password =***', others],
  ] as const) {
    const error = { name: 'ValueError', message: `databaseUrl='${shown}': ${reason}` }
    t.throws(() => new Auth({ databaseUrl: url }), error, url)
  }
})

/** Puts TLS in front of a URL's server; resolves with its port, certificate (for localhost) and connections so far. */
async function startTls(t: Test, url: string) {
  const at = tempDir(t)
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-days', '1']
  const keys = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', `${at}/key`]
  execFileSync('openssl', ['req', '-x509', ...keys, '-out', `${at}/certificate`, ...names], { stdio: 'pipe' })
  const { hostname, port } = new URL(url)
  const tls = { port: 0, certificate: `${at}/certificate`, connections: 0 }
  tls.port = await serve(t, (socket) => {
    // The request for TLS has eight bytes (PostgreSQL, Message Flow, SSL).
    socket.once('data', (bytes) => {
      const upstream = connect(Number(port || 5432), hostname).on('error', () => socket.destroy())
      socket.on('close', () => upstream.destroy())
      if (bytes.length !== 8) {
        upstream.write(bytes)
        return socket.pipe(upstream).pipe(socket)
      }
      tls.connections++
      socket.write('S')
      const [key, cert] = [readFileSync(`${at}/key`), readFileSync(tls.certificate)]
      const secure = new TLSSocket(socket, { isServer: true, key, cert }).on('error', () => upstream.destroy())
      return secure.pipe(upstream).pipe(secure)
    })
  })
  return tls
}

const NEEDS_OPENSSL = { skip: spawnSync('openssl', ['version']).error ? 'no openssl' : NEEDS_POSTGRES.skip }

t.test('sslmode means what it means to libpq', NEEDS_OPENSSL, async (t) => {
  const { url } = await createDatabase(t)
  const tls = await startTls(t, url)
  const to = (host: string, settings: string) =>
    `${Object.assign(new URL(url), { host: `${host}:${tls.port}` })}?${settings}`
  const selfSigned = /self.signed certificate$/
  for (const [host, settings, outcome] of [
    ['127.0.0.1', 'sslmode=require', /^open$/],
    ['127.0.0.1', 'sslmode=prefer', /^open$/],
    ['127.0.0.1', 'sslmode=allow', /^open$/],
    ['127.0.0.1', 'sslmode=disable', /^open$/],
    ['127.0.0.1', `sslmode=verify-ca&sslrootcert=${tls.certificate}`, /^open$/],
    ['127.0.0.1', `sslmode=verify-full&sslrootcert=${tls.certificate}`, /IP: 127.0.0.1 is not in the cert's list/],
    ['localhost', `sslmode=verify-full&sslrootcert=${tls.certificate}`, /^open$/],
    ['localhost', 'sslmode=verify-full', selfSigned],
    ['localhost', 'sslmode=require&sslrootcert=system', selfSigned],
    ['localhost', 'sslmode=verify-full&sslrootcert=/no/such', /no such file or directory, open '\/no\/such'$/],
  ] as const) {
    const before = tls.connections
    t.match(await outcomeOf(to(host, settings)), outcome, `${host} ${settings}`)
    t.equal(tls.connections > before, !/disable|such/.test(settings), `TLS with ${settings}`)
  }
})

t.test('a server that has no TLS, disconnects, is silent or not PostgreSQL is refused in one line', async (t) => {
  const withoutTls = 'The server does not support SSL connections; turn it on there, or leave sslmode out of the URL'
  const answerNo = (socket: Socket) => socket.on('data', () => socket.write('N'))
  const limits = { ...LIMITS, connectMs: 1000, hangMs: 1000 }
  for (const [onConnection, outcome, settings = ''] of [
    [answerNo, withoutTls, 'sslmode=require'],
    [answerNo, withoutTls, 'sslmode=verify-full&sslrootcert=system'],
    [(socket: Socket) => socket.end(), 'Connection terminated unexpectedly'],
    [(socket: Socket) => socket.resume(), 'Connection terminated due to connection timeout'],
    [(socket: Socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'), 'Connection terminated unexpectedly'],
  ] as const) {
    const url = `postgres://me:secret@127.0.0.1:${await serve(t, onConnection)}/x?${settings}`
    t.equal(await outcomeOf(url, limits), `cannot open the database: ${outcome}`, `${onConnection} ${settings}`)
  }
})

t.test('a URL without the password that the server asks for is refused in a line that says so', async (t) => {
  const port = await serve(t, (socket) => {
    socket.once('data', () => {
      socket.write('R\0\0\0\x17\0\0\0\nSCRAM-SHA-256\0\0')
      socket.once('data', () => socket.write('R\0\0\0\t\0\0\0\vr'))
    })
  })
  for (const user of ['me', 'me:']) {
    t.equal(
      await outcomeOf(`postgres://${user}@127.0.0.1:${port}/x`),
      'cannot open the database: the server asks for a password, and the URL has none',
    )
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
  t.equal(program.stderr, '')
  t.ok(Number(program.stdout) < 9000, `${program.stdout} ms: pg drops a connection after 10 s`)
  const db = dbAt(t, url)
  t.equal(await db.countUsers(), 2)
})
