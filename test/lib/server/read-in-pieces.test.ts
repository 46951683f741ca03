/** Requests that reach the parser in pieces: none is lost, none is read twice. */
import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import t from 'tap'
import { get, LAST, raw, request, statuses } from '../../helper/http.ts'
import { startService } from '../../helper/service.ts'

const CONNECT = 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n'
const repeated = (status: number, count: number) => Array.from({ length: count }, () => status)

/** Sends two requests at once, and the others after their replies, when the server knows that the client pipelines. */
async function pipelined(port: number, requests: string): Promise<{ socket: Socket; received: () => string }> {
  const socket = connect({ port, host: '127.0.0.1' })
  let text = ''
  socket.setEncoding('latin1').on('data', (more: string) => (text += more))
  socket.write(get('/').repeat(2))
  while (statuses(text).length < 2) await once(socket, 'data')
  text = ''
  socket.write(requests)
  return { socket, received: () => text }
}

/** The statuses of what is answered to requests that come after two others. */
async function statusesOf(port: number, requests: string): Promise<number[]> {
  const { socket, received } = await pipelined(port, requests)
  await once(socket, 'close')
  return statuses(received())
}

t.test('requests of any length, wherever they are cut', async (t) => {
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
  t.strictSame(await statusesOf(port, posts.join('') + LAST), [...posts.flatMap(() => [403, 200]), 200])
})

t.test('a client that reads late gets every reply, and few requests wait for it', async (t) => {
  const { server, port, url } = await startService(t)
  let [waiting, most] = [0, 0]
  server.on('request', (_request, response) => {
    most = Math.max(most, ++waiting)
    response.once('finish', () => waiting--)
  })
  // More than the system keeps for a client that does not read.
  const { socket, received } = await pipelined(port, get('/').repeat(50_000) + LAST)
  socket.pause()
  await request(url, 'GET')
  socket.resume()
  await once(socket, 'close')
  t.strictSame(statuses(received()), repeated(200, 50_001))
  t.ok(most < 500, `${most} at most`)
})

t.test('requests that are refused for their Expect count too', async (t) => {
  const { server, port } = await startService(t)
  let [total, waiting, most] = [0, 0, 0]
  server.on('checkExpectation', (_request, response) => {
    waiting++
    // The first ones were parsed before anybody knew that the client pipelines.
    if (++total > 5000) most = Math.max(most, waiting)
    response.once('finish', () => waiting--)
  })
  const received = await raw(port, get('/', 'Expect: more\r\n').repeat(20_000), LAST)
  t.strictSame(statuses(received), [...repeated(417, 20_000), 200])
  t.ok(most < 500, `${most} at most`)
})

t.test('a client that first pipelines behind a body for which node stops reading', async (t) => {
  const { port } = await startService(t)
  const post = `POST /reset_password HTTP/1.1\r\nHost: x\r\nContent-Length: 16384\r\n\r\n${'x'.repeat(16_384)}`
  const socket = connect({ port, host: '127.0.0.1' })
  let received = ''
  socket.setEncoding('latin1').on('data', (text: string) => (received += text))
  socket.write(post + get('/'))
  while (statuses(received).length < 2) await once(socket, 'data')
  socket.write(LAST)
  await once(socket, 'close')
  t.strictSame(statuses(received), [415, 200, 200])
})

t.test('CONNECT in the middle of others: nothing behind it counts', async (t) => {
  const { port, url } = await startService(t)
  const requests = get('/').repeat(300) + CONNECT + get('/').repeat(1000)
  t.strictSame(await statusesOf(port, requests), [...repeated(200, 300), 405])
  t.match(await request(url, 'GET'), { status: 200 })
})

t.test('what follows CONNECT does not reach the parser, which another connection uses by then', async (t) => {
  const { port } = await startService(t, { BCRYPT_COST: '10' })
  const body = 'email=bob%40me.com&password=x'
  const type = 'Content-Type: application/x-www-form-urlencoded'
  const slow = `POST /users HTTP/1.1\r\nHost: x\r\n${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const first = connect({ port, host: '127.0.0.1' })
  await once(first, 'connect')
  const connecting = await pipelined(port, slow + CONNECT + get('/').repeat(1000))
  first.write(LAST)
  await once(first, 'data')
  const other = connect({ port, host: '127.0.0.1' })
  let received = ''
  other.setEncoding('latin1').on('data', (text: string) => (received += text))
  await once(connecting.socket, 'close')
  t.strictSame(statuses(connecting.received()), [200, 405])
  other.write(LAST)
  await once(other, 'close')
  t.strictSame(statuses(received), [200])
})

t.test('a broken request in the middle of others', async (t) => {
  const { port } = await startService(t)
  const requests = get('/').repeat(300) + 'rubbish\r\n\r\n' + get('/').repeat(1000)
  t.strictSame(await statusesOf(port, requests), [...repeated(200, 300), 400])
})
