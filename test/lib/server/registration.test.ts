/** REGISTRATION=local, by the peer's address and the request's headers. */
import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import t from 'tap'
import { checkRegistration } from '../../../lib/server/registration.ts'

/** A request from an address. */
function requestFrom(remoteAddress: string | undefined, headers: Record<string, string> = {}): IncomingMessage {
  const request = new IncomingMessage(Object.defineProperty(new Socket(), 'remoteAddress', { value: remoteAddress }))
  return Object.assign(request, { headers })
}

t.test('from this machine itself, and from nowhere else', async (t) => {
  const config = { registration: 'local' } as const
  for (const address of ['127.0.0.1', '127.255.0.9', '::1', '::ffff:127.0.0.1', '::ffff:127.9.9.9']) {
    t.doesNotThrow(() => checkRegistration(config, requestFrom(address)), address)
    for (const name of ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-x', 'x-real-ip']) {
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
