/** What a client may do on one connection: pipeline requests, disconnect, send broken ones, or read nothing. */
import { once } from 'node:events'
import { connect, type Server } from 'node:net'
import t from 'tap'
import { Auth } from '../../../auth.ts'
import { createService } from '../../../server.ts'
import { flood, idle, LINUX_ONLY, memory } from '../../helper/flood.ts'
import { BOB, get, LAST, listen, post, raw, request, statuses } from '../../helper/http.ts'
import { startServer } from '../../helper/program.ts'
import { startService } from '../../helper/service.ts'

/** Counts how many requests of a server wait for their replies; returns a function that returns the highest count. */
function countWaiting(server: Server): () => number {
  let [waiting, most] = [0, 0]
  server.on('request', (_request, response) => {
    most = Math.max(most, ++waiting)
    response.once('finish', () => waiting--)
  })
  return () => most
}

const repeated = (status: number, count: number) => Array.from({ length: count }, () => status)

t.test('requests are carried out one after the other: 1,500 wait for a password to be hashed', async (t) => {
  const { port } = await startService(t, { BCRYPT_COST: '10' })
  const requests = [get('/'), post('/users', BOB), post('/users', BOB), post('/sessions', BOB)]
  const received = await raw(port, requests.join(''), get('/').repeat(1500), post('/users', BOB), LAST)
  const expected = [200, 200, 400, 200, ...repeated(200, 1500), 400, 200]
  t.strictSame(statuses(received), expected)
})

t.test('while a password is hashed, few of 10,000 requests behind it are parsed', async (t) => {
  const { server, port, url } = await startService(t, { BCRYPT_COST: '10' })
  await request(`${url}/users`, 'POST', BOB)
  const most = countWaiting(server)
  const received = await raw(port, post('/sessions', BOB), get('/').repeat(10_000), LAST)
  t.strictSame(statuses(received), repeated(200, 10_002))
  t.ok(most() < 4000, `${most()}: what the first read brought, and no more`)
})

t.test('when a client disconnects, its requests that wait are dropped', async (t) => {
  const { auth, port, url } = await startService(t)
  await auth.registerUser(BOB.email, BOB.password)
  const headers = { cookie: `session_id=${await auth.createSession(BOB.email)}` }
  const waiting = new Promise<AbortSignal>((resolve) => {
    auth.startSession = async (_email, _password, { signal = AbortSignal.abort() } = {}) => {
      resolve(signal)
      await once(signal, 'abort')
      return null
    }
  })
  const socket = connect({ port, host: '127.0.0.1' })
  socket.write(`${post('/sessions', BOB)}DELETE /sessions HTTP/1.1\r\nHost: x\r\nCookie: ${headers.cookie}\r\n\r\n`)
  const signal = await waiting
  socket.resetAndDestroy()
  await once(signal, 'abort')
  t.match(await request(`${url}/profile`, 'GET', undefined, headers), { status: 200 }, 'the session has not ended')
})

t.test('a broken request is answered after those before it, and the connection ends', async (t) => {
  const { port } = await startService(t, { BCRYPT_COST: '10' })
  t.strictSame(
    statuses(await raw(port, post('/users', BOB) + get('/'), 'rubbish\r\n\r\n'.repeat(1000))),
    [200, 200, 400],
  )
  const chunked = 'Transfer-Encoding: chunked\r\n'
  const broken = `DELETE /sessions HTTP/1.1\r\nHost: x\r\n${chunked}\r\nno chunk\r\n`
  t.strictSame(statuses(await raw(port, post('/sessions', BOB) + broken)), [200, 400], 'waiting')
  t.strictSame(statuses(await raw(port, get('/', chunked) + 'no chunk\r\n')), [200], 'answered already')
})

t.test('a client may disconnect while the reply to a broken request waits', async (t) => {
  const server = await startServer(t, { BCRYPT_COST: '10' })
  const users = `${server.url}/users`
  const socket = connect({ port: server.port, host: '127.0.0.1' })
  socket.write(post('/users', BOB) + 'rubbish\r\n\r\n')
  await request(server.url, 'GET')
  socket.resetAndDestroy()
  const after = await request(users, 'POST', { email: 'after@me.com', password: 'x' }).catch(() => server.stderr)
  t.match(after, { status: 200 })
})

t.test('the reply to a request with Upgrade is the last', async (t) => {
  const { port, url } = await startService(t, { BCRYPT_COST: '10' })
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
  // Each write on its own, as node's parser drops what is read together with the Upgrade.
  const apart = async (...requests: string[]) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    let received = ''
    socket.on('data', (data) => (received += data)).on('error', () => {})
    const closed = new Promise((resolve) => socket.once('close', resolve))
    for (const text of requests) {
      socket.write(text)
      await request(url, 'GET')
    }
    await closed
    return received
  }
  const received = await apart(get('/', upgrade) + get('/nope').repeat(2), get('/nope'))
  t.strictSame(statuses(received), [200])
  t.match(received, /\r\nConnection: close\r\n/)
  t.strictSame(statuses(await apart(get('/nope') + get('/', upgrade), get('/nope'))), [404, 200])
  const slow = post('/users', BOB, ['Host: x', 'Connection: Upgrade', 'Upgrade: websocket'])
  t.strictSame(statuses(await apart(slow.slice(0, -5), slow.slice(-5), get('/nope'))), [200], 'with a body')
  t.strictSame(statuses(await apart(post('/sessions', BOB) + get('/', upgrade), get('/nope').repeat(9))), [200, 200])
})

t.test('a last reply arrives even if the client is still sending', async (t) => {
  const { port } = await startService(t)
  const head = (more: string) => `POST /users HTTP/1.1\r\nHost: x\r\n${more}\r\n\r\n`
  for (const [status, request] of [
    [413, head('Content-Type: application/json\r\nContent-Length: 1000000\r\nConnection: close')],
    [400, `${head('Transfer-Encoding: chunked')}no chunk\r\n`],
  ] as const) {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {})
    socket.write(request)
    t.match(String((await once(socket, 'data'))[0]), `HTTP/1.1 ${status}`)
    await once(socket, 'end')
    for (let i = 0; i < 3; i++) await new Promise((resolve) => socket.write('x', resolve))
    t.equal(socket.errored, null, `${status}: the connection is not reset`)
    socket.destroy()
  }
})

t.test('nothing is carried out after a reply with Connection: close', async (t) => {
  const { port, server } = await startService(t)
  const requests: unknown[] = []
  server.on('request', ({ url }) => requests.push(url))
  const closed = new Promise((resolve) => server.once('connection', (socket) => socket.once('close', resolve)))
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {})
  // node itself makes a 204 the last reply on HTTP/1.0.
  socket.write('OPTIONS / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
  t.match(String((await once(socket, 'data'))[0]), /^HTTP\/1.1 204 .*\r\nConnection: close\r\n/s)
  await once(socket, 'end')
  socket.end(post('/users', BOB))
  await closed
  t.strictSame(requests, ['/'])
})

t.test('what is read together with the request that gets the last reply is not carried out', async (t) => {
  const { port, auth } = await startService(t)
  let registrations = 0
  auth.registerUser = () => Promise.reject(new Error(`registration ${++registrations}`))
  const expect = ['Host: x', 'Expect: 100-continue']
  // node itself makes these replies the last: a 413 instead of `100 Continue`, and a 204 on HTTP/1.0.
  for (const [status, last] of [
    [413, post('/users', { ...BOB, more: 'x'.repeat(17_000) }, expect)],
    [204, 'OPTIONS / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n'],
  ] as const) {
    t.strictSame(statuses(await raw(port, last + post('/users', BOB))), [status])
    t.equal(registrations, 0, `${status}`)
  }
})

t.test('a client that sends without end and reads nothing fits into a heap of 64 MiB', LINUX_ONLY, async (t) => {
  await t.resolves(flood(await startServer(t, {}, ['--max-old-space-size=64']), 1))
})

t.test('a body that arrives byte by byte takes little memory', LINUX_ONLY, async (t) => {
  const { child, port } = await startServer(t)
  const before = memory(child, 'VmRSS')
  const head = ['POST /users HTTP/1.1', 'Host: x', 'Content-Type: application/json', 'Transfer-Encoding: chunked']
  const body = '1\r\n{\r\n'.repeat(16_000)
  const sockets = Array.from({ length: 5 }, () => connect({ port, host: '127.0.0.1' }))
  for (const socket of sockets) socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  await idle(child)
  t.ok(memory(child, 'VmRSS') - before < 20 * 1024, 'less than 4 MiB each')
  for (const socket of sockets) socket.destroy()
})

t.test('a connection whose client reads nothing for long is closed', async (t) => {
  const server = createService({ auth: new Auth({ databaseUrl: 'memory:' }), config: { accessLog: false } })
  t.equal(server.timeout, 130_000, 'longer than the 120 seconds for which Caddy keeps an unused connection')
  // Not from the start: on a busy machine a connection may wait longer than this for its first read.
  server.on('request', ({ socket }) => socket.setTimeout(500))
  const port = await listen(server)
  for (const requests of [get('/').repeat(100_000), get('/login').repeat(1900) + 'rubbish\r\n\r\n']) {
    const socket = connect({ port, host: '127.0.0.1' }).pause()
    socket.write(requests)
    const [connection] = await once(server, 'connection')
    await once(connection, 'close')
    t.ok(connection.bytesRead > 0, 'it has sent requests')
    socket.destroy()
  }
  server.close()
})

/** Sends two requests together, which show the server that the client pipelines; after their replies, the others. */
async function pipelined(port: number, requests: string, two = get('/').repeat(2)) {
  const socket = connect({ port, host: '127.0.0.1' })
  let text = ''
  socket.setEncoding('latin1').on('data', (more: string) => (text += more))
  socket.write(two)
  while (statuses(text).length < 2) await once(socket, 'data')
  socket.write(requests)
  const closed = once(socket, 'close').then(() => statuses(text))
  return { socket, closed }
}

t.test('pipelined requests of any length are answered, wherever reads cut them', async (t) => {
  const { port } = await startService(t)
  const type = 'Content-Type: application/x-www-form-urlencoded'
  const posts = Array.from({ length: 300 }, (_, i) => {
    const body = `email=${'x'.repeat(i * 17)}%40me.com`
    const [length, text] =
      i % 2 === 0
        ? [`Content-Length: ${body.length}`, body]
        : ['Transfer-Encoding: chunked', `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`]
    return `POST /reset_password HTTP/1.1\r\nHost: x\r\n${type}\r\n${length}\r\n\r\n${text}${get('/')}`
  })
  const { closed } = await pipelined(port, posts.join('') + LAST)
  t.strictSame(await closed, [200, 200, ...posts.flatMap(() => [403, 200]), 200])
})

t.test('a client that reads late gets every reply, and few requests wait for it', async (t) => {
  const { server, port, url } = await startService(t)
  const most = countWaiting(server)
  // More than the system keeps for a client that does not read.
  const { socket, closed } = await pipelined(port, get('/').repeat(50_000) + LAST)
  socket.pause()
  await request(url, 'GET')
  socket.resume()
  t.strictSame(await closed, repeated(200, 50_003))
  t.ok(most() < 2000, `${most()} at most: fewer than one read of 64 KiB may hold`)
})

t.test('a client that first pipelines behind a long body gets every reply', async (t) => {
  const { port } = await startService(t)
  const long = `POST /reset_password HTTP/1.1\r\nHost: x\r\nContent-Length: 16384\r\n\r\n${'x'.repeat(16_384)}`
  const { closed } = await pipelined(port, LAST, long + get('/'))
  t.strictSame(await closed, [415, 200, 200])
})

t.test('nothing behind a broken request is answered', async (t) => {
  const { port } = await startService(t)
  const requests = get('/').repeat(300) + 'rubbish\r\n\r\n' + get('/').repeat(1000)
  const { closed } = await pipelined(port, requests)
  t.strictSame(await closed, [...repeated(200, 302), 400])
})
