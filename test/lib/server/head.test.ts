/** Cookies, addresses, origins, and REGISTRATION=local. */
import { once } from 'node:events'
import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import t from 'tap'
import { checkRegistration, clientOf } from '../../../lib/server/head.ts'
import { readConfig } from '../../../server.ts'
import { BOB, get, post, raw, request, sessionOf, statuses } from '../../helper/http.ts'
import { captureAccessLog, closed, startService } from '../../helper/service.ts'

t.test('the session is read only from a cookie named session_id', async (t) => {
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
    [`a=b;\xa0session_id=${session}`, 403],
    [`a=b;x session_id=${session}`, 403],
    [`SESSION_ID=${session}`, 403],
    ['session_id=', 403],
    [';;=;', 403],
  ] as const) {
    t.match(await request(`${url}/profile`, 'GET', undefined, { cookie }), { status }, cookie)
  }
})

t.test('a client address is read in every form that proxies write', async (t) => {
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
    ['[1.2.3.4', '127.0.0.1'],
    ['unknown', '127.0.0.1'],
  ] as const
  for (const [forwarded] of cases) await request(server.url, 'GET', undefined, { 'x-forwarded-for': forwarded })
  await closed(server)
  const logged = log().map((line) => line.replace(/ - .*/, ''))
  const found = cases.map(([forwarded], i) => [forwarded, logged[i]])
  t.strictSame(found, cases)
})

t.test('the signal of a client that has disconnected already is aborted', async (t) => {
  const socket = new Socket().destroy()
  await once(socket, 'close')
  t.ok(clientOf(readConfig({}), new IncomingMessage(socket)).signal.aborted)
})

t.test('a request that another site makes a browser send is refused', async (t) => {
  const { port, url } = await startService(t)
  await request(`${url}/users`, 'POST', BOB)
  const errors = t.capture(console, 'error')
  for (const [host, headers, status] of [
    ['x', ['Origin: http://x'], 200],
    ['X:80', ['Origin: http://x'], 200],
    ['x:443', ['Origin: https://x'], 200],
    ['x:443', ['Origin: http://x'], 403],
    ['x:80', ['Origin: https://x'], 403],
    ['x', ['Origin: http://x:5000'], 403],
    ['x', ['Origin: https://evil.example'], 403],
    ['x', ['Origin: null'], 403],
    ['x', ['Sec-Fetch-Site: cross-site', 'Origin: http://x'], 403],
    ['x', ['Sec-Fetch-Site: same-site'], 403],
    ['x', ['Sec-Fetch-Site: same-origin', 'Origin: https://behind.proxy'], 200],
    ['x', ['Sec-Fetch-Site: none'], 200],
    ['x', [], 200],
  ] as const) {
    // Not fetch, which writes Sec-Fetch headers of its own.
    const all = [`Host: ${host}`, 'Connection: close', ...headers]
    const received = await raw(port, post('/reset_password', BOB, all))
    t.strictSame(statuses(received), [status], `${headers} to ${host}`)
    if (status === 403) t.match(received, /\{"message":"requests from other sites are refused"\}\n$/)
  }
  const safe = get('/', 'Sec-Fetch-Site: cross-site\r\nConnection: close\r\n')
  t.match(await raw(port, safe), /^HTTP\/1.1 200 /, 'a safe method is allowed')
  t.strictSame(
    errors().map(({ args }) => args[0]),
    ['refused a form: its Origin is http://x, but Host is x:443; if a proxy changes Host, set PUBLIC_URL'],
    'the operator is told once',
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

t.test('REGISTRATION=local allows only a Host of this machine', async (t) => {
  const own = ['localhost', 'LOCALHOST:5000', '127.0.0.1:5000', '127.9.9.9', '[::1]:5000', '[::1]']
  for (const host of own) {
    t.doesNotThrow(() => checkRegistration({ registration: 'local' }, requestFrom('127.0.0.1', { host })), host)
  }
  const others = ['', 'evil.com:5000', 'localhost.evil.com', '127.0.0.1.evil.com', '10.0.0.1', 'auth.example.com']
  for (const host of others) {
    const request = requestFrom('127.0.0.1', { host })
    t.throws(() => checkRegistration({ registration: 'local' }, request), { message: /^registration is closed/ }, host)
  }
})

t.test('REGISTRATION=local allows only this machine itself, and not through a proxy', async (t) => {
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
