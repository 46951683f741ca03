/** What one connection may do to a server: pipelined requests in order, and clients that read nothing. */
import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { Auth } from '../../../auth.ts'
import { createService } from '../../../server.ts'
import { flood, LINUX_ONLY } from '../../helper/flood.ts'
import { get, LAST, raw, request, statuses } from '../../helper/http.ts'
import { startServer } from '../../helper/program.ts'
import { startService } from '../../helper/service.ts'

const BOB = 'email=bob%40me.com&password=right'
const FORM = 'Content-Type: application/x-www-form-urlencoded\r\n'
const post = (path: string, body = BOB) =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\n${FORM}Content-Length: ${body.length}\r\n\r\n${body}`
const CONNECT = 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n'

t.test('10,000 requests at once are answered in order', async (t) => {
  const { port } = await startService(t)
  const paths = Array.from({ length: 10_000 }, (_, i) => (i % 7 === 0 ? '/profile' : i % 3 === 0 ? '/nope' : '/'))
  const received = await raw(port, paths.map((path) => get(path)).join(''), LAST)
  const expected = paths.map((path) => (path === '/' ? 200 : path === '/nope' ? 404 : 403))
  t.strictSame(statuses(received), [...expected, 200])
})

t.test('an unsafe request waits for those before it, and 1,500 wait for it', async (t) => {
  const { port } = await startService(t, { BCRYPT_COST: '10' })
  const requests = [get('/'), post('/users'), post('/users'), post('/sessions')]
  const received = await raw(port, requests.join(''), get('/').repeat(1500), post('/users'), LAST)
  const expected = [200, 200, 400, 200, ...Array.from({ length: 1500 }, () => 200), 400, 200]
  t.strictSame(statuses(received), expected)
})

t.test('beyond 4,096 requests that wait, what is owed is sent, and the connection is closed', async (t) => {
  const { port, url } = await startService(t, { BCRYPT_COST: '11' })
  const received = await raw(port, post('/users'), get('/').repeat(10_000))
  t.strictSame(
    statuses(received),
    Array.from({ length: 4096 }, () => 200),
  )
  t.match(received, /^HTTP\/1.1 200 .*user created.*Bienvenue"\}\n$/s)
  t.match(await request(url, 'GET'), { status: 200 })
})

t.test('a client that disconnects: what waited for its request is dropped', async (t) => {
  const server = await startService(t, { BCRYPT_COST: '10' })
  const ann = { email: 'ann@me.com', password: 'x' }
  await request(`${server.url}/users`, 'POST', ann)
  const { reset_token } = Object((await request(`${server.url}/reset_password`, 'POST', ann)).body)
  const socket = connect({ port: server.port, host: '127.0.0.1' })
  socket.write(post('/users') + post('/reset_password', 'email=ann%40me.com'))
  await request(server.url, 'GET')
  socket.resetAndDestroy()
  for (const name of ['b', 'c']) await request(`${server.url}/users`, 'POST', { ...ann, email: `${name}@me.com` })
  const form = { email: ann.email, reset_token, new_password: 'y' }
  t.match(await request(`${server.url}/reset_password`, 'PUT', form), { status: 200 }, 'no token has replaced it')
})

t.test('a broken request behind others gets its answer after theirs, and the connection ends', async (t) => {
  const { port } = await startService(t, { BCRYPT_COST: '10' })
  t.strictSame(statuses(await raw(port, post('/users') + get('/'), 'rubbish\r\n\r\n'.repeat(1000))), [200, 200, 400])
  const chunked = 'Transfer-Encoding: chunked\r\n'
  const broken = `DELETE /sessions HTTP/1.1\r\nHost: x\r\n${chunked}\r\nno chunk\r\n`
  t.strictSame(statuses(await raw(port, post('/sessions') + broken)), [200, 400], 'waiting')
  t.strictSame(statuses(await raw(port, get('/', chunked) + 'no chunk\r\n')), [200], 'answered already')
})

t.test('a client that disconnects while the reply to a broken request or to CONNECT waits', async (t) => {
  const server = await startServer(t, { BCRYPT_COST: '10' })
  const users = `${server.url}/users`
  for (const [i, last] of ['rubbish\r\n\r\n', CONNECT].entries()) {
    const socket = connect({ port: server.port, host: '127.0.0.1' })
    socket.write(post('/users', `email=${i}%40me.com&password=x`) + last)
    await request(server.url, 'GET')
    socket.resetAndDestroy()
    const after = await request(users, 'POST', { email: `after${i}@me.com`, password: 'x' }).catch(() => server.stderr)
    t.match(after, { status: 200 }, last)
  }
})

t.test('a client that sends without end and reads nothing fits into a heap of 64 MiB', LINUX_ONLY, async (t) => {
  await t.resolves(flood(await startServer(t, {}, ['--max-old-space-size=64']), 1))
})

t.test('a connection on which nothing is read for long is closed', async (t) => {
  const server = createService({ auth: new Auth({ databaseUrl: 'memory:' }), config: { accessLog: false } })
  t.equal(server.timeout, 75_000)
  server.setTimeout(100).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  for (const requests of [get('/').repeat(100_000), get('/login').repeat(1900) + CONNECT]) {
    const socket = connect({ port, host: '127.0.0.1' }).pause()
    socket.write(requests)
    const [connection] = await once(server, 'connection')
    await once(connection, 'close')
    t.ok(connection.bytesRead > 0, 'it has sent requests')
    socket.destroy()
  }
  server.close()
})
