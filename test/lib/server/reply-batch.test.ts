import { once } from 'node:events'
import t from 'tap'
import { createHttpServer } from '../../../lib/server/http-server.ts'
import type { Reply } from '../../../lib/server/service.ts'
import { readConfig } from '../../../server.ts'
import { get, LAST, listen, raw, statuses } from '../../helper/http.ts'

const config = { ...readConfig({}), accessLog: false }

t.test('a reply is written at the end of its turn, or at once behind another one of its connection', async (t) => {
  const replyTo = (): Reply => ({ status: 200, body: {} })
  const server = createHttpServer({ config, isStopping: () => false }, replyTo)
  const isWritten: boolean[] = []
  server.on('request', (_request, response) => {
    isWritten.push(response.headersSent)
    setImmediate(() => isWritten.push(response.headersSent))
  })
  const received = await raw(await listen(server), get('/') + LAST)
  t.strictSame(statuses(received), [200, 200])
  t.strictSame(isWritten, [false, true, true, true])
  server.close()
  await once(server, 'close')
})
