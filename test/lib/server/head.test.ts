/** Cookies, addresses, origins, and REGISTRATION=local. */
import { once } from 'node:events'
import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { hostname } from 'node:os'
import t from 'tap'
import { checkRegistration, clientOf } from '../../../lib/server/head.ts'
import { readConfig } from '../../../server.ts'
import { BOB, raw, request, sessionOf, statuses } from '../../helper/http.ts'
import { captureAccessLog, closed, startService } from '../../helper/service.ts'

t.test('cookies', async (t) => {
  const { url } = await startService(t)
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

t.test('addresses behind a proxy, as proxies write them', async (t) => {
  const log = captureAccessLog(t)
  const server = await startService(t, { TRUST_PROXY: '1', ACCESS_LOG: '1' })
  const cases = [
    ['1.2.3.4', '1.2.3.4'],
    ['9.9.9.9, 1.2.3.4', '1.2.3.4'],
    ['1.2.3.4:5555', '1.2.3.4'],
    ['2001:db8::1', '2001:db8::1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['[2001:db8::1]:443', '2001:db8::1'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['1.2.3', '127.0.0.1'],
    ['1.2.3.4:', '127.0.0.1'],
    ['[1.2.3.4', '127.0.0.1'],
    ['unknown', '127.0.0.1'],
    ['', '127.0.0.1'],
  ] as const
  for (const [forwarded] of cases) await request(server.url, 'GET', undefined, { 'x-forwarded-for': forwarded })
  await closed(server)
  const logged = log().map((line) => line.replace(/ - .*/, ''))
  t.strictSame(
    cases.map(([forwarded], i) => [forwarded, logged[i]]),
    cases,
  )
})

t.test('a client that disconnected before it was asked about is seen to have', async (t) => {
  const socket = new Socket().destroy()
  await once(socket, 'close')
  t.ok(clientOf(readConfig({}), new IncomingMessage(socket)).signal.aborted)
})

t.test('the same origin, with or without its port, and what the operator is told once of another', async (t) => {
  const { port } = await startService(t)
  const errors = t.capture(console, 'error')
  for (const [host, origin, status] of [
    ['x', 'http://x', 200],
    ['X:80', 'http://x', 200],
    ['x:443', 'https://x', 200],
    ['x:443', 'http://x', 403],
    ['x:80', 'https://x', 403],
    ['x', 'http://x:5000', 403],
    ['x:5000', 'http://x', 403],
  ] as const) {
    const body = `email=${host.length}${status}${origin.length}%40me.com&password=x`
    const type = 'Content-Type: application/x-www-form-urlencoded'
    const head = `Host: ${host}\r\nOrigin: ${origin}\r\nConnection: close\r\n${type}\r\nContent-Length: ${body.length}`
    const received = await raw(port, `POST /users HTTP/1.1\r\n${head}\r\n\r\n${body}`)
    t.strictSame(statuses(received), [status], `${origin} to ${host}`)
  }
  t.strictSame(
    errors().map(({ args }) => args[0]),
    ['refused a form: its Origin is http://x, but Host is x:443; if a proxy changes Host, set PUBLIC_URL'],
  )
})

/** A request from an address. */
function requestFrom(remoteAddress: string | undefined, more: Record<string, string> = {}): IncomingMessage {
  const headers = { host: 'localhost:5000', ...more }
  const request = new IncomingMessage(Object.defineProperty(new Socket(), 'remoteAddress', { value: remoteAddress }))
  return Object.assign(request, { headers })
}

/** Headers that proxies add. */
const PROXIES = [
  ...['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-x', 'x-real-ip', 'via', 'cf-connecting-ip'],
  ...['true-client-ip', 'x-client-ip', 'client-ip', 'fastly-client-ip', 'x-cluster-client-ip', 'x-azure-clientip'],
  ...['x-original-url', 'x-envoy-external-address', 'x-remote-addr', 'cloudfront-viewer-address', 'cdn-loop'],
]

t.test('by a name of this machine, which neither a proxy nor a page of another site has', async (t) => {
  const short = hostname().includes('.') ? 'localhost' : hostname()
  const own = ['localhost', 'LOCALHOST:5000', '127.0.0.1:5000', '127.9.9.9', '[::1]:5000', '[::1]', `${short}:1`]
  for (const host of own) {
    t.doesNotThrow(() => checkRegistration({ registration: 'local' }, requestFrom('127.0.0.1', { host })), host)
  }
  const others = ['', 'evil.com:5000', 'localhost.evil.com', '127.0.0.1.evil.com', '10.0.0.1', 'auth.example.com']
  for (const host of others) {
    const request = requestFrom('127.0.0.1', { host })
    t.throws(() => checkRegistration({ registration: 'local' }, request), { message: /^registration is closed/ }, host)
  }
})

t.test('from this machine itself, and from nowhere else', async (t) => {
  const config = { registration: 'local' } as const
  for (const address of ['127.0.0.1', '127.255.0.9', '::1', '::ffff:127.0.0.1', '::ffff:127.9.9.9']) {
    t.doesNotThrow(() => checkRegistration(config, requestFrom(address)), address)
    for (const name of PROXIES) {
      const proxied = requestFrom(address, { [name]: '' })
      t.throws(() => checkRegistration(config, proxied), { message: /^registration is closed/ }, `${address} ${name}`)
    }
    t.doesNotThrow(() => checkRegistration(config, requestFrom(address, { 'x-real': 'a', 'x-forwarded': 'b' })))
  }
  const elsewhere = ['128.0.0.1', '10.0.0.1', '::2', '::ffff:10.0.0.1', '127.0.0.1.evil', '1127.0.0.1']
  for (const address of [undefined, ...elsewhere]) {
    const call = () => checkRegistration(config, requestFrom(address))
    t.throws(call, { message: /^registration is closed/ }, address ?? 'unknown')
    t.doesNotThrow(() => checkRegistration({ registration: 'open' }, requestFrom(address)))
  }
})
