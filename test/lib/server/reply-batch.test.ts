import { once } from 'node:events'
import t from 'tap'
import { createHttpServer } from '../../../lib/server/http-server.ts'
import type { Reply } from '../../../lib/server/service.ts'
import { readConfig } from '../../../server.ts'
import { listen, raw } from '../../helper/http.ts'

const config = { ...readConfig({}), accessLog: false }
const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
const LAST_GET = GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')

t.test('a reply is written at the end of its turn, or at once behind another one of its connection', async (t) => {
  const replyTo = (): Reply => ({ status: 200, body: {} })
  const server = createHttpServer({ config, isStopping: () => false }, replyTo)
  const isWritten: boolean[] = []
  server.on('request', (_request, response) => {
    isWritten.push(response.headersSent)
    setImmediate(() => isWritten.push(response.headersSent))
  })
  const received = await raw(await listen(server), GET + LAST_GET)
  t.equal(received.split('HTTP/1.1 200 OK\r\n').length - 1, 2)
  t.strictSame(isWritten, [false, true, true, true])
  server.close()
  await once(server, 'close')
})
