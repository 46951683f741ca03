import { connect } from 'node:net'
import { once } from 'node:events'
import type { Server } from 'node:http'
import { readdirSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { Auth } from '../auth.ts'
import { createService, readConfig } from '../server.ts'
import { raw, request, sessionOf } from './helper/http.ts'
import { Program, startServer, tempDir, requireFromCommonJs } from './helper/program.ts'

const BOB = { email: 'bob@me.com', password: 'mySuperPwd' }
const HEAD = 'POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n'

/** Where a server listens. */
function urlOf(server: Server): string {
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
}

/** A raw answer's status and payload; every one must have the common headers and a JSON message. */
function parseRaw(t: Test, text: string): { status: number; message: unknown } {
  const [head = '', body = ''] = text.split('\r\n\r\n')
  t.match(head, /^Content-Type: application\/json$/m)
  t.match(head, /^X-Content-Type-Options: nosniff$/m)
  t.match(head, new RegExp(`^Content-Length: ${body.length}$`, 'm'))
  t.match(body, /\n$/)
  return { status: Number(head.slice(9, 12)), message: JSON.parse(body).message }
}

t.test('the wire contract', async (t) => {
  const { url } = await startServer(t)
  const call = async (method: string, path: string, fields?: Record<string, string>, session?: string) => {
    const answered = await request(url + path, method, fields, session ? { cookie: `session_id=${session}` } : {})
    t.equal(answered.headers.get('content-type'), 'application/json')
    t.equal(answered.headers.get('cache-control'), 'no-store')
    t.equal(answered.headers.get('x-content-type-options'), 'nosniff')
    return answered
  }
  t.match(await call('GET', '/'), { status: 200, body: { message: 'Bienvenue' } })
  const created = { email: 'bob@me.com', message: 'user created' }
  t.match(await call('POST', '/users', BOB), { status: 200, body: created })
  t.match(await call('POST', '/users', BOB), { status: 400, body: { message: 'email already registered' } })
  t.match(await call('POST', '/sessions', { ...BOB, password: 'wrong' }), { status: 401, body: { message: String } })
  t.match(await call('POST', '/sessions', { ...BOB, email: 'nobody@me.com' }), { status: 401 })
  t.match(await call('POST', '/sessions', { ...BOB, password: 'x'.repeat(73) }), { status: 401 })
  const login = await call('POST', '/sessions', { ...BOB, email: 'BOB@me.com' })
  t.match(login, { status: 200, body: { email: 'bob@me.com', message: 'logged in' } })
  t.match(
    login.headers.get('set-cookie'),
    /^session_id=[0-9a-f-]{36}; HttpOnly; Path=\/; SameSite=Lax; Max-Age=604800$/,
  )
  const session = sessionOf(login)
  t.match(await call('GET', '/profile', undefined, session), { status: 200, body: { email: 'bob@me.com' } })
  t.match(await call('GET', '/profile?x=y#z', undefined, session), { status: 200 })
  const { headers } = await call('GET', '/profile', undefined, session)
  t.strictSame([headers.get('remote-user'), headers.get('remote-email')], ['1', 'bob@me.com'])
  t.match(await call('GET', '/profile', undefined, 'nope'), { status: 403, body: { message: String } })
  t.match(await call('GET', '/profile'), { status: 403 })
  t.match(await call('DELETE', '/sessions'), { status: 403, body: { message: String } })
  const logout = await call('DELETE', '/sessions', undefined, session)
  t.equal(logout.status, 302)
  t.equal(logout.headers.get('location'), '/')
  t.match(logout.headers.get('set-cookie'), /^session_id=; .*Max-Age=0/)
  t.match(await call('GET', '/profile', undefined, session), { status: 403 })
  t.match(await call('POST', '/reset_password', { email: 'nobody@me.com' }), { status: 403 })
  const reset = await call('POST', '/reset_password', { email: 'bob@ME.com' })
  t.match(reset, { status: 200, body: { email: 'bob@me.com', reset_token: /^[0-9a-f-]{36}$/ } })
  const { reset_token } = Object(reset.body)
  const form = { email: 'bob@ME.com', reset_token, new_password: 'n' }
  t.match(await call('PUT', '/reset_password', { ...form, reset_token: 'x' }), { status: 403 })
  t.match(await call('PUT', '/reset_password', { ...form, new_password: 'x'.repeat(73) }), { status: 400 })
  const updated = { email: 'bob@me.com', message: 'Password updated' }
  t.match(await call('PUT', '/reset_password', form), { status: 200, body: updated })
  t.match(await call('PUT', '/reset_password', form), { status: 403 })
  t.match(await call('POST', '/sessions', BOB), { status: 401 })
  t.match(await call('POST', '/sessions', { ...BOB, password: 'n' }), { status: 200 })
})

t.test('forms, multipart and JSON', async (t) => {
  const { url } = await startServer(t)
  const post = async (body: string | FormData | Uint8Array<ArrayBuffer>, type?: string) => {
    const headers = type === undefined ? {} : { 'content-type': type }
    const response = await fetch(`${url}/users`, { method: 'POST', body, headers })
    return { status: response.status, body: await response.json() }
  }
  const form = 'application/x-www-form-urlencoded'
  const created = (email: string) => ({ status: 200, body: { email, message: 'user created' } })
  t.match(await post('email=a%2B1%40b&password=x+y&password=z&email=', form), created('a+1@b'))
  t.match(await post('email=é@b&password=x&__proto__=1', `${form}; charset=utf-8`), created('é@b'))
  t.match(await post(JSON.stringify({ email: 'j@b', password: 'x' }), 'Application/JSON'), created('j@b'))
  const multipart = new FormData()
  multipart.append('email', 'm@b')
  multipart.append('email', 'second@b')
  multipart.append('password', 'ü')
  t.match(await post(multipart), created('m@b'))
  const login = { email: 'a+1@b', password: 'x y' }
  t.match(await request(`${url}/sessions`, 'POST', login), { status: 200 }, 'the first value counts, + is a space')

  t.match(
    await post('{"email":"f\\u0040b", "password" : "\\"x\\"", "email":"second@b"}', 'application/json'),
    created('f@b'),
  )
  const avatar = new FormData()
  avatar.append('avatar', new Blob(['pixels']), 'ü.png')
  avatar.append('email', 'avatar@b')
  avatar.append('password', 'x')
  t.match(await post(avatar), created('avatar@b'), 'a file that nobody has asked for')

  const file = new FormData()
  file.append('email', new Blob(['f@b']), 'f.txt')
  const json = 'application/json'
  for (const [body, type, message] of [
    ['email=a@b', form, /^password is missing$/],
    ['email=&password=x', form, /^email is missing$/],
    ['', form, /^email is missing$/],
    ['email=%zz&password=x', form, /^broken body/],
    ['email=%ff&password=x', form, /^broken body/],
    [new Uint8Array([0x65, 0xff]), form, /^broken body/],
    ['email=none&password=x', form, /no @/],
    ['{"email":', json, /^broken body/],
    ['["email"]', json, /not a JSON object/],
    ['null', json, /not a JSON object/],
    ['{"email":1,"password":"x"}', json, /email is not a text/],
    ['{"email":"\\ud800@b","password":"x"}', json, /email is not a text/],
    ['{}', json, /^email is missing$/],
    [file, undefined, /^email is missing$/],
    ['email=a@b&password=x%00x', form, /NUL/],
    ['--x\r\n', 'multipart/form-data; boundary=x', /^broken body/],
    ['x', 'multipart/form-data', /^broken body/],
  ] as const) {
    t.match(await post(body, type), { status: 400, body: { message } }, `${body}`)
  }
  t.match(await post('email=a@b', 'text/plain'), { status: 415, body: { message: /form-urlencoded/ } })
  t.match(await request(`${url}/users`, 'POST', BOB, { 'content-encoding': 'gzip' }), { status: 415 })
  t.match(await request(`${url}/users`, 'POST'), { status: 400, body: { message: 'email is missing' } })
})

t.test('methods and paths', async (t) => {
  const { url, port } = await startServer(t)
  const head = await fetch(`${url}/`, { method: 'HEAD' })
  t.equal(head.status, 200)
  t.equal(head.headers.get('content-length'), '24')
  t.match(await request(`${url}/profile`, 'HEAD'), { status: 403, body: null })
  for (const [path, allow] of [
    ['/', 'GET, HEAD, OPTIONS'],
    ['/sessions', 'POST, DELETE, OPTIONS'],
  ] as const) {
    const options = await request(url + path, 'OPTIONS')
    t.match(options, { status: 204, body: null })
    t.equal(options.headers.get('allow'), allow)
    const wrong = await request(url + path, 'PATCH')
    t.match(wrong, { status: 405, body: { message: `use one of ${allow}` } })
    t.equal(wrong.headers.get('allow'), allow)
  }
  t.match(await request(`${url}/users`, 'HEAD'), { status: 405 })
  for (const path of ['/users/', '/no', '/__proto__', '/constructor', '//users']) {
    t.match(await request(url + path, 'GET'), { status: 404, body: { message: 'no such path' } }, path)
  }
  const absolute = 'GET http://x/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
  t.match(await raw(port, absolute), /^HTTP\/1.1 200 .*Bienvenue/s)
  t.match(await raw(port, absolute.replace('GET http://x/', 'OPTIONS *')), /^HTTP\/1.1 204 /)
  t.match(await raw(port, 'GET / HTTP/1.0\r\n\r\n'), /^HTTP\/1.1 200 .*Bienvenue/s)
})

t.test('cookies', async (t) => {
  const { url } = await startServer(t)
  await request(`${url}/users`, 'POST', BOB)
  const session = sessionOf(await request(`${url}/sessions`, 'POST', BOB))
  for (const [cookie, status] of [
    [`a=b; session_id=${session}; c=d`, 200],
    [`a=b;session_id="${session}"`, 200],
    [`session_id = ${session}`, 200],
    [`session_id=${session}; session_id=x`, 200],
    [`session_id=x; session_id=${session}`, 200],
    [`my_session_id=${session}`, 403],
    [`session_ids=${session}`, 403],
    [`SESSION_ID=${session}`, 403],
    ['session_id', 403],
    ['session_id=', 403],
    [';;=;', 403],
  ] as const) {
    t.match(await request(`${url}/profile`, 'GET', undefined, { cookie }), { status }, cookie)
  }
})

t.test('what is too large, too slow or no HTTP', async (t) => {
  const { port } = await startServer(t)
  const close = 'Connection: close\r\n'
  for (const [status, ...chunks] of [
    [413, `${HEAD}Content-Length: 16385\r\n${close}\r\n`],
    [413, `${HEAD}Content-Length: 999999999999999\r\n${close}\r\n`],
    [413, `${HEAD}Content-Length: 16385\r\nExpect: 100-continue\r\n${close}\r\n`],
    [413, `${HEAD}Transfer-Encoding: chunked\r\n${close}\r\n`, '4001\r\n', 'x'.repeat(0x4001), '\r\n0\r\n\r\n'],
    [400, `${HEAD}Transfer-Encoding: chunked\r\n\r\n`, 'no chunk\r\n'],
    [400, `${HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`],
    [400, 'GET / HTTP/1.1\r\n\r\n'.replace('\r\n\r\n', `\r\n${close}\r\n`)],
    [400, 'GET / HTTP/9.9\r\n\r\n'],
    [400, 'rubbish\r\n\r\n'],
    [400, '\x16\x03\x01\x02\x00\x01'],
    [405, 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n'],
    [405, `TRACE / HTTP/1.1\r\nHost: x\r\n${close}\r\n`],
    [417, `GET / HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\n${close}\r\n`],
    [431, `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(17000)}\r\n\r\n`],
    [431, `GET /${'x'.repeat(17000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
  ] as const) {
    const answered = parseRaw(t, await raw(port, ...chunks))
    t.match(answered, { status, message: /./ }, `${status} ${chunks[0].slice(0, 90)}`)
  }
  const pipelined = await raw(port, 'GET /profile HTTP/1.1\r\nHost: x\r\n\r\nrubbish\r\n\r\n')
  t.match(pipelined, /^HTTP\/1.1 403 .*HTTP\/1.1 400 /s, 'the answer to the request before comes first')
  const body = 'email=pipe%40me.com&password=p'
  const post = (path: string, more = '') =>
    `${HEAD.replace('/users', path)}Content-Length: ${body.length}\r\n${more}\r\n${body}`
  const inOrder = await raw(port, post('/users') + post('/users') + post('/sessions', close))
  t.match(inOrder, /^HTTP\/1.1 200 .*HTTP\/1.1 400 .*HTTP\/1.1 200 .*logged in/s, 'each after the one before it')
  t.match(parseRaw(t, await raw(port, `${HEAD}Transfer-Encoding: gzip, chunked\r\n${close}\r\n0\r\n\r\n`)), {
    status: 415,
  })
  const gentle = `${HEAD}Content-Length: 25\r\nExpect: 100-continue\r\n${close}\r\n`
  t.match(await raw(port, gentle, 'email=a%40b.c&password=xyz'.slice(0, 25)), /^HTTP\/1.1 100 .*\n\r\nHTTP\/1.1 200 /s)
})

t.test('a client that hangs up or stalls', async (t) => {
  const config = readConfig({ DATABASE_URL: 'memory:', BCRYPT_COST: '4', ACCESS_LOG: '0' })
  const auth = new Auth(config.auth)
  await auth.open()
  const server = createService({ auth, config })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0

  server.requestTimeout = server.headersTimeout = 100
  t.match(parseRaw(t, await raw(port, 'GET / HTTP/1.1\r\nHo')), { status: 408, message: /longer than/ })
  t.match(parseRaw(t, await raw(port, `${HEAD}Content-Length: 9\r\n\r\n`, 'email')), { status: 408 })
  const flood = await raw(port, `${HEAD}Content-Length: 99999\r\n\r\n`, 'x'.repeat(20000))
  t.match(parseRaw(t, flood), { status: 413 }, 'who goes on sending after the answer is cut off, without another')

  const socket = connect({ port, host: '127.0.0.1' })
  socket.write(`${HEAD}Content-Length: 9\r\n\r\nemail`)
  const [received] = await once(server, 'request')
  socket.resetAndDestroy()
  await new Promise((resolve) => received.on('close', resolve))
  t.match(await request(`http://127.0.0.1:${port}/`, 'GET'), { status: 200 })
})

t.test('a bug in the service is a plain 500', async (t) => {
  const config = readConfig({ ACCESS_LOG: '0' })
  const server = createService({ config, auth: Object.create(null) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const errors = t.capture(console, 'error')
  const answered = await request(`http://127.0.0.1:${port}/profile`, 'GET', undefined, { cookie: 'session_id=x' })
  t.match(answered, { status: 500, body: { message: 'internal error' } })
  t.equal(errors().length, 1)
})

t.test('twenty servers in one process leave nothing behind', async (t) => {
  const warnings: Error[] = []
  const note = (warning: Error) => warnings.push(warning)
  process.on('warning', note)
  t.teardown(() => process.off('warning', note))
  const listeners = () => process.eventNames().map((name) => [name, process.listenerCount(name)])
  const before = listeners()
  const printed = t.capture(process.stdout, 'write', () => true)
  const auth = new Auth({ databaseUrl: 'memory:' })
  await auth.open()
  const servers = Array.from({ length: 20 }, () => createService({ auth }).listen(0, '127.0.0.1'))
  for (const server of servers) {
    if (!server.listening) await once(server, 'listening')
    t.match(await request(urlOf(server), 'GET'), { status: 200 })
  }
  t.strictSame(listeners(), before)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  await auth.close()
  const lines = printed().filter(({ args }) => /"GET \/ HTTP\/1.1" 200 24\n$/.test(`${args[0]}`))
  t.equal(lines.length, 20, 'each has written its log when it is closed')
  t.strictSame(warnings, [])
})

t.test('require() of server.ts from CommonJS starts nothing', async (t) => {
  t.match(requireFromCommonJs(t, 'server.ts'), { exports: ['createService', 'readConfig'], stderr: '' })
})

t.test('forty registrations of one email at once', async (t) => {
  const { url } = await startServer(t, { DATABASE_URL: `file:${tempDir(t)}/users.json` })
  const answers = await Promise.all(Array.from({ length: 40 }, () => request(`${url}/users`, 'POST', BOB)))
  t.equal(answers.filter(({ status }) => status === 200).length, 1)
  t.equal(answers.filter(({ status }) => status === 400).length, 39)
})

t.test('stop and start: nothing is lost', async (t) => {
  const env = { DATABASE_URL: `file:${tempDir(t)}/users.json` }
  const first = await startServer(t, env)
  await request(`${first.url}/users`, 'POST', BOB)
  const session = sessionOf(await request(`${first.url}/sessions`, 'POST', BOB))
  const silent = connect({ port: first.port, host: '127.0.0.1' })
  await once(silent, 'connect')
  t.equal(await first.stop('SIGINT'), 0, 'a connection without a request does not delay the stop')
  const second = await startServer(t, env)
  const cookie = `session_id=${session}`
  const profile = await request(`${second.url}/profile`, 'GET', undefined, { cookie })
  t.match(profile, { status: 200, body: { email: BOB.email } })
  t.match(await request(`${second.url}/users`, 'POST', BOB), { status: 400 })
})

t.test('a stop finishes what is in flight', async (t) => {
  const server = await startServer(t, { BCRYPT_COST: '11' })
  const answered = request(`${server.url}/users`, 'POST', BOB)
  const socket = connect({ port: server.port, host: '127.0.0.1' })
  socket.write(`${HEAD}Content-Length: 5\r\n\r\n`)
  await request(server.url, 'GET')
  server.child.kill('SIGTERM')
  await server.printed(/GET/)
  socket.end('email')
  const answer = await answered
  t.equal(answer.status, 200)
  t.equal(answer.headers.get('connection'), 'close')
  t.match(await server.exited, { code: 0, signal: null })
  t.match(server.stdout, /"POST \/users HTTP\/1.1" 200 48\n/, 'the access log is flushed')
})

t.test('SIGTERM as soon as the server says that it listens', async (t) => {
  const path = `${tempDir(t)}/users.json`
  const server = await startServer(t, { DATABASE_URL: `file:${path}` })
  t.equal(await server.stop(), 0)
  t.strictSame(readdirSync(path.replace('users.json', '')), [])
})

t.test('who reads stdout and stderr may go, the server goes on', async (t) => {
  const server = await startServer(t)
  server.child.stdout?.destroy()
  server.child.stderr?.destroy()
  for (let i = 0; i < 3; i++) {
    t.match(await request(server.url, 'GET'), { status: 200 })
    await new Promise((resolve) => setTimeout(resolve, 110))
  }
  t.equal(await server.stop(), 0)
})

t.test('the access log', async (t) => {
  const server = await startServer(t)
  await request(`${server.url}/?secret=1`, 'GET')
  await raw(server.port, 'GET /"\\x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  await raw(server.port, 'rubbish\r\n\r\n')
  await server.stop()
  const [first, ...lines] = server.stdout.trim().split('\n').slice(4)
  t.match(first, /^127\.0\.0\.1 - - \[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET \/ HTTP\/1\.1" 200 24$/)
  t.match(lines, [/"GET \/\?\?x HTTP\/1\.1" 404 \d+$/, /"-" 400 \d+$/])
  const quiet = await startServer(t, { ACCESS_LOG: '0' })
  await request(quiet.url, 'GET')
  await quiet.stop()
  t.match(
    quiet.stdout,
    /^Listening on \S+\nTo log in with a browser: http:\/\/127\.0\.0\.1:\d+\/login\nUsers: 0 in memory:; bcrypt cost 4, .*\nReset tokens are handed .*\n$/,
  )
})

t.test('configuration', async (t) => {
  t.strictSame(readConfig({}), {
    host: '0.0.0.0',
    port: 5000,
    auth: {
      databaseUrl: 'file:users.json',
      bcryptCost: 12,
      sessionTtl: 604800,
      resetTtl: 3600,
      loginFailures: 10,
      accountFailures: 100,
      passwordMin: 1,
    },
    trustProxy: false,
    resetWebhook: null,
    cookieSecure: false,
    registration: 'open',
    publicUrl: null,
    cookieDomain: null,
    accessLog: true,
  })
  for (const [name, value] of [
    ['PORT', 'abc'],
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['PORT', '1e3'],
    ['PORT', ''],
    ['HOST', ''],
    ['BCRYPT_COST', '3'],
    ['BCRYPT_COST', '32'],
    ['SESSION_TTL', '0'],
    ['RESET_TTL', '1.5'],
    ['COOKIE_SECURE', 'yes'],
    ['LOGIN_FAILURES', '-1'],
    ['ACCOUNT_FAILURES', '10001'],
    ['PASSWORD_MIN', '0'],
    ['PASSWORD_MIN', '73'],
    ['UV_THREADPOOL_SIZE', 'abc'],
    ['UV_THREADPOOL_SIZE', '0'],
    ['UV_THREADPOOL_SIZE', '1025'],
    ['TRUST_PROXY', 'true'],
    ['ACCESS_LOG', '2'],
  ] as const) {
    t.throws(() => readConfig({ [name]: value }), { message: new RegExp(`^${name}.*${value}`) }, `${name}=${value}`)
  }
  const settings = { COOKIE_SECURE: '1', TRUST_PROXY: '1', LOGIN_FAILURES: '0' }
  const secure = await startServer(t, { ...settings, SESSION_TTL: '60' })
  await secure.printed(/bcrypt cost 4, cookies only over HTTPS, X-Forwarded-For is believed, guessing is not limited\n/)
  await request(`${secure.url}/users`, 'POST', BOB)
  const { headers } = await request(`${secure.url}/sessions`, 'POST', BOB)
  t.match(headers.get('set-cookie'), /; Max-Age=60; Secure$/)
})

t.test('what keeps the server from starting is one line, and exit code 1', async (t) => {
  const running = await startServer(t)
  const dir = tempDir(t)
  await writeFile(`${dir}/broken.json`, '{"users":[')
  for (const [env, line] of [
    [{ PORT: 'abc' }, /^PORT=abc: expected an integer/],
    [
      { PORT: `${running.port}`, DATABASE_URL: `file:${dir}/new.json` },
      /^HOST=127\.0\.0\.1 PORT=\d+: taken already; set HOST or PORT/,
    ],
    [{ HOST: '192.0.2.1' }, /^HOST=192\.0\.2\.1 PORT=0: no address to listen on \(EADDRNOTAVAIL\)/],
    [{ DATABASE_URL: 'mysql://x' }, /^DATABASE_URL=mysql:\/\/x: expected file:PATH/],
    [{ DATABASE_URL: `file:${dir}/broken.json` }, /broken\.json/],
    [{ DATABASE_URL: `file:${dir}` }, /^\S+: EISDIR/],
  ] as const) {
    const program = new Program('server.ts', { HOST: '127.0.0.1', PORT: '0', DATABASE_URL: 'memory:', ...env })
    t.match(await program.exited, { code: 1 })
    t.match(program.stderr, line)
    t.equal(program.stderr.trim().split('\n').length, 1, program.stderr)
  }
  t.equal(await readFile(`${dir}/broken.json`, 'utf8'), '{"users":[')
  t.strictSame(readdirSync(dir), ['broken.json'], 'nothing is left behind')
})
