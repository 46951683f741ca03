/** REGISTRATION=local, by the peer's address and the request's headers. */
import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { hostname } from 'node:os'
import t from 'tap'
import { checkRegistration } from '../../../lib/server/registration.ts'

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
  for (const host of [
    'localhost',
    'LOCALHOST:5000',
    '127.0.0.1:5000',
    '127.9.9.9',
    '[::1]:5000',
    '[::1]',
    `${short}:1`,
  ]) {
    t.doesNotThrow(() => checkRegistration({ registration: 'local' }, requestFrom('127.0.0.1', { host })), host)
  }
  for (const host of [
    '',
    'evil.com:5000',
    'localhost.evil.com',
    '127.0.0.1.evil.com',
    '10.0.0.1',
    'auth.example.com',
  ]) {
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
  for (const address of [
    undefined,
    '128.0.0.1',
    '10.0.0.1',
    '::2',
    '::ffff:10.0.0.1',
    '127.0.0.1.evil',
    '1127.0.0.1',
  ]) {
    t.throws(
      () => checkRegistration(config, requestFrom(address)),
      { message: /^registration is closed/ },
      address ?? 'unknown',
    )
    t.doesNotThrow(() => checkRegistration({ registration: 'open' }, requestFrom(address)))
  }
})
