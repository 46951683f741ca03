/** Attacks that would succeed against the plain exercise, each over real HTTP. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { once } from 'node:events'
import t from 'tap'
import { BOB, post, request, sessionOf } from './helper/http.ts'
import { startServer, tempDir } from './helper/program.ts'
import { captureAccessLog, closed, startService } from './helper/service.ts'
import { row, stored, table, writeStore } from './helper/store.ts'

const EVE = { email: 'eve@me.com', password: 'evil' }
const sha256 = (token: string) => createHash('sha256').update(token).digest('hex')
const now = () => Math.floor(Date.now() / 1000)

const register = (server: { url: string }, user: Record<string, string>) => request(`${server.url}/users`, 'POST', user)
const login = (server: { url: string }, user: Record<string, string>, headers = {}) =>
  request(`${server.url}/sessions`, 'POST', user, headers)
const profile = (server: { url: string }, session: string) =>
  request(`${server.url}/profile`, 'GET', undefined, { cookie: `session_id=${session}` })
const resetToken = async (server: { url: string }, email: string) =>
  String(Object((await request(`${server.url}/reset_password`, 'POST', { email })).body).reset_token)
const reset = (server: { url: string }, email: string, reset_token: string, new_password: string) =>
  request(`${server.url}/reset_password`, 'PUT', { email, reset_token, new_password })

t.test('whoever reads the store cannot log in with what it holds', async (t) => {
  const path = `${tempDir(t)}/users.json`
  const printed = captureAccessLog(t)
  const server = await startService(t, { DATABASE_URL: `file:${path}`, ACCESS_LOG: '1' })
  await register(server, BOB)
  const session = sessionOf(await login(server, BOB))
  const token = await resetToken(server, BOB.email)
  const log = readFileSync(`${path}-wal`, 'utf8')
  for (const secret of [session, token]) {
    t.notMatch(log, secret)
    t.match(log, sha256(secret))
  }
  t.match(await profile(server, sha256(session)), { status: 403 })
  t.match(await reset(server, BOB.email, sha256(token), 'stolen'), { status: 403 })
  t.match(await profile(server, session), { status: 200 })
  await closed(server)
  t.equal(printed().length, 6)
  t.notMatch(printed().join(), new RegExp(`${session}|${token}|${BOB.password}`), 'nor with what the access log holds')
})

t.test('sessions and tokens that have expired, or have no expiry, are refused', async (t) => {
  const users = [now() - 1, null, now() + 100].map((expires, i) => {
    const tokens = { session_id: sha256(`session${i + 1}`), reset_token: sha256(`token${i + 1}`) }
    return row(i + 1, { ...tokens, session_expires_at: expires, reset_expires_at: expires })
  })
  const path = writeStore(t, { '': table(...users) })
  const server = await startService(t, { DATABASE_URL: `file:${path}`, SESSION_TTL: '50', RESET_TTL: '20' })
  for (const [id, status] of [
    [1, 403],
    [2, 403],
    [3, 200],
  ] as const) {
    t.match(await profile(server, `session${id}`), { status })
    t.match(await reset(server, `user${id}@me.com`, `token${id}`, 'new'), { status })
  }
  const before = now()
  await login(server, { email: 'user3@me.com', password: 'new' })
  await resetToken(server, 'user3@me.com')
  await closed(server)
  const { session_expires_at, reset_expires_at } = stored(path)[2] ?? {}
  const isIn = (seconds: number, time: number) => time >= before + seconds && time <= now() + seconds
  t.ok(isIn(50, Number(session_expires_at)), 'the server ends the session when the cookie expires')
  t.ok(isIn(20, Number(reset_expires_at)))
})

t.test('a login with the old password during a reset leaves no live session', async (t) => {
  const server = await startService(t, { BCRYPT_COST: '10' })
  await register(server, BOB)
  const token = await resetToken(server, BOB.email)
  const [changed, ...logins] = await Promise.all([
    reset(server, BOB.email, token, 'new'),
    ...Array.from({ length: 6 }, () => login(server, BOB)),
  ])
  t.equal(changed.status, 200)
  for (const late of logins) {
    t.match(await profile(server, sessionOf(late) || 'none'), { status: 403 }, `the login was answered ${late.status}`)
  }
})

t.test('failed logins are limited for each address, whatever else succeeds', async (t) => {
  const server = await startService(t, { LOGIN_FAILURES: '5' })
  await register(server, BOB)
  await register(server, EVE)
  for (let i = 0; i < 4; i++) t.match(await login(server, { ...BOB, password: `guess${i}` }), { status: 401 })
  t.match(await login(server, EVE), { status: 200 })
  t.match(await login(server, { ...BOB, email: 'nobody@me.com' }), { status: 401 }, 'an unknown email counts too')
  const refused = await login(server, BOB, { 'x-forwarded-for': '1.2.3.4' })
  const body = { message: 'too many failed logins from your address' }
  t.match(refused, { status: 429, body }, 'the right password too')
  const wait = Number(refused.headers.get('retry-after'))
  t.ok(wait > 60 && wait <= 600, `Retry-After: ${wait}`)
  t.match(await profile(server, 'x'), { status: 403 }, 'only logins are refused')
})

t.test('simultaneous guesses get no more answers than sequential ones', async (t) => {
  const server = await startService(t, { LOGIN_FAILURES: '5' })
  await register(server, BOB)
  const guesses = [...Array.from({ length: 60 }, (_, i) => `guess${i}`), BOB.password]
  const answers = await Promise.all(guesses.map((password) => login(server, { ...BOB, password })))
  t.equal(answers.filter(({ status }) => status === 401).length, 5)
  t.equal(answers.filter(({ status }) => status === 429).length, 56)
})

t.test('failed logins are limited for each account, whatever address they come from', async (t) => {
  const server = await startService(t, { ACCOUNT_FAILURES: '3', LOGIN_FAILURES: '2', TRUST_PROXY: '1' })
  await register(server, BOB)
  const from = (address: string) => ({ 'x-forwarded-for': address })
  for (const email of [BOB.email, 'nobody@me.com']) {
    for (let i = 0; i < 3; i++) {
      t.match(await login(server, { email, password: `guess${i}` }, from(`1.1.1.${i}`)), { status: 401 })
    }
    const refused = await login(server, { email: email.toUpperCase(), password: BOB.password }, from('2.2.2.2'))
    t.match(refused, { status: 429, body: { message: /^too many failed logins with this email: / } }, email)
    const wait = Number(refused.headers.get('retry-after'))
    t.ok(wait > 600 && wait <= 3600, `Retry-After: ${wait}`)
  }
  await register(server, EVE)
  t.match(await login(server, EVE, from('2.2.2.2')), { status: 200 }, 'other accounts are not affected')
  await reset(server, BOB.email, await resetToken(server, BOB.email), 'new')
  const changed = await login(server, { ...BOB, password: 'new' }, from('2.2.2.2'))
  t.match(changed, { status: 200 }, 'a reset clears the failures')
})

t.test('one address that registers on many connections does not delay the logins of others', async (t) => {
  const server = await startService(t, { BCRYPT_COST: '6', TRUST_PROXY: '1' })
  await register(server, BOB)
  let registered = 0
  const flood = Array.from({ length: 60 }, async (_, i) => {
    const user = { email: `user${i}@me.com`, password: 'x' }
    const { status } = await request(`${server.url}/users`, 'POST', user, { 'x-forwarded-for': '1.1.1.1' })
    if (status === 200) registered++
  })
  await Promise.race(flood)
  const before = registered
  t.match(await login(server, BOB, { 'x-forwarded-for': '2.2.2.2' }), { status: 200 })
  t.ok(registered - before < 30, `${registered - before} registrations were answered before the login`)
  await Promise.all(flood)
  t.equal(registered, 60, 'the flood is served too, only later')
})

t.test('a flood of passwords fills a queue, then gets 503; clients that disconnect leave it', async (t) => {
  // One hash at a time, so that few requests fill the queue.
  const server = await startServer(t, { BCRYPT_COST: '13', UV_THREADPOOL_SIZE: '2' })
  const sockets = Array.from({ length: 60 }, () => connect({ port: server.port, host: '127.0.0.1' }))
  const refused = new Promise<string>((resolve) => {
    for (const socket of sockets) {
      socket.on('data', (data) => resolve(String(data)))
      socket.write(post('/sessions', BOB))
    }
  })
  t.match(await refused, /^HTTP\/1.1 503 .*Retry-After: \d+\r\n.*"too many passwords are waiting to be checked"/s)
  t.match(await request(server.url, 'GET'), { status: 200 }, 'everything else goes on')
  for (const socket of sockets) {
    socket.destroy()
    await once(socket, 'close')
  }
  // The server needs a few turns to notice the disconnects. Then only hashes already running come before this one.
  let answer = await login(server, BOB)
  for (let tries = 0; answer.status === 503 && tries < 10; tries++) answer = await login(server, BOB)
  t.match(answer, { status: 401 })
})
