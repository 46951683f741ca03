/** Requests that are too large, too slow or not HTTP, and which reply is the last. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createHttpServer } from '../../../lib/server/http-server.ts'
import { HttpError } from '../../../lib/server/service.ts'
import { readConfig } from '../../../server.ts'
import { BOB, get, LAST, listen, post, raw, request, statuses } from '../../helper/http.ts'
import { startService } from '../../helper/service.ts'

const config = readConfig({ ACCESS_LOG: '0' })
const HEAD = 'POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n'

/** A raw answer's status and message; every answer must have the common headers and be JSON. */
function parseRaw(t: Test, text: string): { status: number; message: unknown } {
  const [head = '', body = ''] = text.split('\r\n\r\n')
  t.match(head, /^Content-Type: application\/json$/m)
  t.match(head, /^X-Content-Type-Options: nosniff$/m)
  t.match(head, new RegExp(`^Content-Length: ${body.length}$`, 'm'))
  t.match(body, /\n$/)
  return { status: Number(head.slice(9, 12)), message: JSON.parse(body).message }
}

t.test('requests that are too large or not HTTP are answered in JSON', async (t) => {
  const { port } = await startService(t)
  const close = 'Connection: close\r\n'
  for (const [status, ...chunks] of [
    [413, `${HEAD}Content-Length: 16385\r\n${close}\r\n`],
    [413, `${HEAD}Content-Length: 999999999999999\r\n${close}\r\n`],
    [413, `${HEAD}Content-Length: 16385\r\nExpect: 100-continue\r\n${close}\r\n`],
    [413, `${HEAD}Transfer-Encoding: chunked\r\n${close}\r\n`, '4001\r\n', 'x'.repeat(0x4001), '\r\n0\r\n\r\n'],
    [400, `${HEAD}Transfer-Encoding: chunked\r\n\r\n`, 'no chunk\r\n'],
    [415, `${HEAD}Transfer-Encoding: gzip, chunked\r\n${close}\r\n0\r\n\r\n`],
    [400, `${HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`],
    [400, `GET / HTTP/1.1\r\nHost: x\r\nhost: x\r\n${close}\r\n`],
    [400, 'GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n'],
    [400, 'GET / HTTP/9.9\r\n\r\n'],
    [400, 'rubbish\r\n\r\n'],
    [400, '\x16\x03\x01\x02\x00\x01'],
    [405, `TRACE / HTTP/1.1\r\nHost: x\r\n${close}\r\n`],
    [431, `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(17000)}\r\n\r\n`],
    [431, `GET / HTTP/1.1\r\nHost: x\r\n${'a:\r\n'.repeat(1500)}X-Forwarded-For: 1.2.3.4\r\n\r\n`],
    [431, `GET /${'x'.repeat(17000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
  ] as const) {
    const answered = parseRaw(t, await raw(port, ...chunks))
    t.match(answered, { status, message: /./ }, `${status} ${chunks[0].slice(0, 90)}`)
  }
  const small = `${HEAD}Content-Length: 25\r\nExpect: 100-continue\r\n${close}\r\n`
  t.match(await raw(port, small, 'email=a%40b.c&password=xy'), /^HTTP\/1.1 100 .*\n\r\nHTTP\/1.1 200 /s)
})

t.test('a missing Host gets 400, an unknown Expect 417, and CONNECT no answer', async (t) => {
  const { port } = await startService(t)
  t.match(await raw(port, 'GET / HTTP/1.1\r\n\r\n'), /^HTTP\/1.1 400 /)
  t.match(await raw(port, get('/', 'Expect: wonders\r\nConnection: close\r\n')), /^HTTP\/1.1 417 /)
  t.equal(await raw(port, 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n'), '')
  const unknown = get('/', 'Expect: wonders\r\n')
  const login = post('/sessions', BOB)
  for (const [before, expected] of [
    [unknown, [417, 400]],
    [get('/') + unknown, [200, 417, 400]],
    [login + unknown, [401, 417, 400]],
    [login + 'GET / HTTP/1.1\r\n\r\n', [401, 400]],
  ] as const) {
    t.strictSame(statuses(await raw(port, `${before}rubbish\r\n\r\n`)), expected, 'with rubbish behind it')
  }
})

/** Starts a server that answers with `replyTo`; resolves with its port. */
async function serve(t: Test, replyTo: Parameters<typeof createHttpServer>[1], isStopping = () => false) {
  const server = createHttpServer({ config, isStopping }, replyTo)
  t.teardown(() => server.close().closeAllConnections())
  return listen(server)
}

t.test('what a handler throws, immediately or later, becomes the reply', async (t) => {
  const port = await serve(t, ({ url }) => {
    if (url === '/now') throw new HttpError(403, 'now')
    return Promise.reject(new HttpError(403, 'later'))
  })
  for (const message of ['now', 'later']) {
    t.match(await request(`http://127.0.0.1:${port}/${message}`, 'GET'), { status: 403, body: { message } })
  }
})

t.test('the reply to a request without Host is the last: nothing behind it is carried out', async (t) => {
  const carriedOut: string[] = []
  const port = await serve(t, ({ url = '' }) => ({ status: 200 + 4 * carriedOut.push(url) }))
  t.strictSame(statuses(await raw(port, `${get('/')}GET / HTTP/1.1\r\n\r\n${get('/behind')}`)), [204, 400])
  t.strictSame(carriedOut, ['/'])
})

t.test('at a stop, requests in progress are answered, and none is carried out after the last reply', async (t) => {
  for (const first of ['/later', '/now']) {
    let isStopping = false
    const carriedOut: string[] = []
    const replyTo = ({ url = '' }) => {
      carriedOut.push(url)
      // The stop begins when the reply to `/` has been made, but is not written yet.
      if (url === first) isStopping = true
      const reply = { status: 204 }
      return url === '/later' ? setImmediate(reply) : reply
    }
    const port = await serve(t, replyTo, () => isStopping)
    const received = await raw(port, get('/') + get(first) + get('/later') + get('/now').repeat(2000))
    t.strictSame(carriedOut, ['/', first])
    t.strictSame(statuses(received), [204, 204])
    t.match(received, /keep-alive.*close/s)
  }
})

t.test('a client that stalls gets 408; one that disconnects does no harm', async (t) => {
  const { server, port } = await startService(t)
  server.requestTimeout = server.headersTimeout = 100
  t.match(parseRaw(t, await raw(port, 'GET / HTTP/1.1\r\nHo')), { status: 408, message: /longer than/ })
  t.match(parseRaw(t, await raw(port, `${HEAD}Content-Length: 9\r\n\r\n`, 'email')), { status: 408 })
  const flood = await raw(port, `${HEAD}Content-Length: 99999\r\n\r\n`, 'x'.repeat(20000))
  t.match(parseRaw(t, flood), { status: 413 }, 'a client that goes on sending is cut off, without a second answer')

  const socket = connect({ port, host: '127.0.0.1' })
  socket.write(`${HEAD}Content-Length: 9\r\n\r\nemail`)
  const [received] = await once(server, 'request')
  socket.resetAndDestroy()
  await new Promise((resolve) => received.on('close', resolve))
  t.match(await request(`http://127.0.0.1:${port}/`, 'GET'), { status: 200 })
})

t.test('a request that the server has not read while others wait is not late', async (t) => {
  const server = createHttpServer({ config, isStopping: () => false }, ({ url }) =>
    url === '/slow' ? timeout.then(() => ({ status: 204 })) : { status: 204 },
  )
  t.teardown(() => server.close())
  server.requestTimeout = server.headersTimeout = 100
  const timeout = once(server, 'clientError')
  const port = await listen(server)
  const long = get('/', `X: ${'x'.repeat(1000)}\r\n`)
  const received = await raw(port, get('/slow') + long.repeat(300), LAST)
  t.strictSame(statuses(received), Array(302).fill(204))
})
