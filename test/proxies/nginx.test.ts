/** A real nginx, with the configuration that the README points to, before the real server and an app. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type Server } from 'node:http'
import { request } from 'node:https'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { raw } from '../helper/http.ts'
import { ROOT, startServer, tempDir } from '../helper/program.ts'

const NGINX = ['nginx', '/usr/sbin/nginx'].find((program) => !spawnSync(program, ['-v']).error) ?? ''
const HAS_OPENSSL = !spawnSync('openssl', ['version']).error
const NEEDS_NGINX = {
  skip: NGINX && HAS_OPENSSL ? false : 'no nginx or no openssl: apt-get install nginx-light openssl',
}

const BOB = { email: 'bob@me.com', password: 'right' }
const ZOE = { email: 'zoë@me.com', password: 'right' }

/** Listens on a free port; returns the port. */
async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** Finds a port that is free; where two are wanted, ask for both at once. */
async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listen(server)
  server.close()
  await once(server, 'close')
  return port
}

/** Starts an app that answers with what it was asked; returns its port. */
async function startApp(t: Test): Promise<number> {
  const app = createServer(async (request, response) => {
    const { method, url, httpVersion, headers } = request
    response.end(JSON.stringify({ method, url, httpVersion, headers, body: await text(request) }))
  })
  t.teardown(() => app.close())
  return listen(app)
}

/** Starts nginx with the configuration as it is, but for places and ports; it is stopped at the end of the test. */
async function startNginx(t: Test, ports: { http: number; https: number; auth: number; app: number }): Promise<void> {
  const at = tempDir(t)
  const certificate = ['-keyout', `${at}/key`, '-out', `${at}/certificate`, '-subj', '/CN=localhost', '-days', '1']
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  execFileSync('openssl', ['req', '-x509', ...curve, ...certificate], { stdio: 'pipe' })
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${at}/${name};`,
  )
  let configuration = readFileSync(join(ROOT, 'test/proxies/nginx.conf'), 'utf8')
  for (const [place, ours] of [
    ['user www-data;', `user ${userInfo().username};`],
    ['/run/nginx.pid', `${at}/pid`],
    ['/var/log/nginx/error.log', 'stderr notice'],
    ['/var/log/nginx/access.log', `${at}/access.log`],
    ['/etc/ssl/certs/example.com.pem', `${at}/certificate`],
    ['/etc/ssl/private/example.com.key', `${at}/key`],
    ['listen 80;', `listen 127.0.0.1:${ports.http};`],
    ['listen 443 ssl;', `listen 127.0.0.1:${ports.https} ssl;`],
    ['server 127.0.0.1:5000;', `server 127.0.0.1:${ports.auth};`],
    ['server 127.0.0.1:8080;', `server 127.0.0.1:${ports.app};`],
    ['\nhttp {', `\nhttp { ${temporary.join(' ')}`],
  ] as const) {
    t.equal(configuration.split(place).length, 2, `the configuration has ${place} once`)
    configuration = configuration.replace(place, ours)
  }
  writeFileSync(`${at}/nginx.conf`, configuration)
  const nginx = spawn(NGINX, ['-p', at, '-c', `${at}/nginx.conf`, '-g', 'daemon off;'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const closed = once(nginx, 'close')
  t.teardown(() => {
    nginx.kill('SIGTERM')
    return closed
  })
  let log = ''
  await new Promise<void>((resolve, reject) => {
    nginx.stderr.on('data', (data) => {
      log += data
      if (log.includes('start worker processes')) resolve()
    })
    nginx.once('close', () => reject(new Error(`nginx ended: ${log}`)))
  })
}

/** An answer of nginx; a body that is no JSON is left out. */
type Answered = { status: number | undefined; headers: IncomingMessage['headers']; body: unknown }

/** Makes a client at one of this machine's addresses: it sends fields as a form over TLS, on a connection for each. */
function clientOf(port: number, localAddress = '127.0.0.1') {
  return async (method: string, path: string, fields?: Record<string, string>, headers: OutgoingHttpHeaders = {}) => {
    const form = fields && { 'content-type': 'application/x-www-form-urlencoded' }
    const to = { host: '127.0.0.1', port, localAddress, agent: false, rejectUnauthorized: false }
    return new Promise<Answered>((resolve, reject) => {
      const sent = request({ ...to, method, path, headers: { ...form, ...headers } }, async (response) => {
        const body = await text(response)
        const isJson = body.startsWith('{')
        resolve({ status: response.statusCode, headers: response.headers, body: isJson ? JSON.parse(body) : undefined })
      })
      sent.on('error', reject)
      sent.end(fields && String(new URLSearchParams(fields)))
    })
  }
}

t.test('an app behind nginx and a login', NEEDS_NGINX, async (t) => {
  const server = await startServer(t, { COOKIE_SECURE: '1', TRUST_PROXY: '1', LOGIN_FAILURES: '3' })
  const [http, https, app] = await Promise.all([freePort(), freePort(), startApp(t)])
  await startNginx(t, { http, https, auth: server.port, app })
  const ask = clientOf(https)

  /** Logs in; returns the header that carries the session. */
  async function login(user: Record<string, string>): Promise<{ cookie: string }> {
    const { headers } = await ask('POST', '/sessions', user)
    return { cookie: headers['set-cookie']?.[0]?.replace(/;.*/, '') ?? '' }
  }

  await t.test('only who is logged in reaches the app', async (t) => {
    for (const cookie of ['', 'session_id=guessed']) {
      t.match(await ask('GET', '/', undefined, { cookie }), { status: 403, body: undefined })
      t.match(await ask('POST', '/', { a: 'b' }, { cookie }), { status: 403, body: undefined })
    }
    t.match(await ask('GET', '/_auth'), { status: 404 }, 'the question is not for others')
    t.match(await ask('POST', '/users', BOB), { status: 200, body: { email: BOB.email, message: 'user created' } })
    const loggedIn = await ask('POST', '/sessions', BOB)
    t.match(loggedIn, { status: 200, body: { email: BOB.email, message: 'logged in' } })
    t.match(loggedIn.headers['set-cookie'], [/^session_id=.*; Secure$/])
    const session = await login(BOB)
    const { status, headers, body } = await ask('GET', '/a%20b?c', undefined, session)
    t.match({ status, body }, { status: 200, body: { method: 'GET', url: '/a%20b?c', httpVersion: '1.1' } })
    t.match(headers, { 'strict-transport-security': 'max-age=31536000' })
    t.match(body, { headers: { host: `127.0.0.1:${https}`, 'x-forwarded-proto': 'https', connection: undefined } })
    const large = { large: 'x'.repeat(100_000) }
    const put = { method: 'PUT', body: `large=${large.large}` }
    t.match(await ask('PUT', '/', large, session), { status: 200, body: put }, 'bodies are for the app alone')
    const loggedOut = await ask('DELETE', '/sessions', undefined, session)
    t.match(loggedOut, { status: 302, headers: { location: '/' } })
    t.match(await ask('GET', '/', undefined, session), { status: 403, body: undefined })
  })

  await t.test('the app is told who it is, whatever the client says', async (t) => {
    const forged = {
      'remote-user': '999',
      'Remote-Email': 'admin@me.com',
      remote_user: '999',
      'x-forwarded-for': '1.2.3.4',
    }
    await ask('POST', '/users', ZOE)
    const told = async (user: Record<string, string>) => {
      const { body } = await ask('GET', '/', undefined, { ...(await login(user)), ...forged })
      const headers = Object.entries(Object(body).headers)
      return Object.fromEntries(headers.filter(([name]) => /^(remote|x-forwarded-for)/.test(name)))
    }
    const [bob, zoe] = [await told(BOB), await told(ZOE)]
    t.notMatch(JSON.stringify(bob), /999|admin|1\.2\.3\.4/, 'nothing forged')
    const address = { 'x-forwarded-for': '127.0.0.1' }
    t.strictSame(bob, { ...address, 'remote-user': '1', 'remote-email': BOB.email })
    t.strictSame(zoe, { ...address, 'remote-user': '2', 'remote-email': 'zo%C3%AB@me.com' })
  })

  await t.test('a form of this site passes, one of another does not', async (t) => {
    const own = { origin: `https://127.0.0.1:${https}` }
    t.match(await ask('POST', '/reset_password', { email: BOB.email }, own), { status: 200 })
    for (const origin of ['https://evil.example', 'https://127.0.0.1', `https://127.0.0.1:${http}`]) {
      const refused = { status: 403, body: { message: 'a request from another site' } }
      t.match(await ask('POST', '/reset_password', { email: BOB.email }, { origin }), refused, origin)
    }
  })

  await t.test('plain HTTP is redirected', async (t) => {
    const answered = await raw(http, 'GET /a?b HTTP/1.1\r\nHost: me.example\r\nConnection: close\r\n\r\n')
    t.match(answered, /^HTTP\/1\.1 301 .*\r\nLocation: https:\/\/me\.example\/a\?b\r\n/s)
  })

  await t.test('guessing passwords is limited by the real address', async (t) => {
    const wrong = { ...BOB, password: 'wrong' }
    for (const [last, status] of [401, 401, 401, 429].entries()) {
      t.match(await ask('POST', '/sessions', wrong, { 'x-forwarded-for': `1.2.3.${last}` }), { status })
    }
    // Elsewhere than on Linux, only the first of these addresses is there.
    const other = process.platform === 'linux' ? clientOf(https, '127.0.0.2') : undefined
    if (other) t.match(await other('POST', '/sessions', wrong), { status: 401 }, 'but not for others')
  })

  await t.test('without the service nobody reaches the app', async (t) => {
    await server.stop()
    t.match(await ask('GET', '/'), { status: 500, body: undefined })
  })
})
