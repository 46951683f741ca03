/** Request lines on stdout. */
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { get, LAST, raw, request, sessionOf, statuses } from '../../helper/http.ts'
import { startServer } from '../../helper/program.ts'
import { captureAccessLog, closed, startService } from '../../helper/service.ts'

t.test('a request line is in the Common Log Format, without the query', async (t) => {
  const log = captureAccessLog(t)
  const server = await startService(t, { ACCESS_LOG: '1' })
  await request(`${server.url}/?secret=1`, 'GET')
  await raw(server.port, 'GET /"\\x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  await raw(server.port, 'GET / HTTP/1.1\r\nHost: x\r\nExpect: x\r\nConnection: close\r\n\r\n')
  await raw(server.port, 'rubbish\r\n\r\n')
  await closed(server)
  t.match(log(), [
    /^127\.0\.0\.1 - - \[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET \/ HTTP\/1\.1" 200 24$/,
    /"GET \/\?\?x HTTP\/1\.1" 404 \d+$/,
    /"GET \/ HTTP\/1\.1" 417 -$/,
    /"-" 400 \d+$/,
  ])
})

t.test('GET /healthz is not logged, and with ACCESS_LOG=0 nothing is', async (t) => {
  const log = captureAccessLog(t)
  const silent = await startService(t, { ACCESS_LOG: '0' })
  await request(silent.url, 'GET')
  await closed(silent)
  const service = await startService(t, { ACCESS_LOG: '1' })
  t.match(await request(`${service.url}/healthz`, 'GET'), { status: 200, body: { message: 'ok' } })
  t.match(await request(`${service.url}/healthz`, 'POST'), { status: 405 })
  t.match(await request(`${service.url}/`, 'GET'), { status: 200 })
  await closed(service)
  t.match(log(), [/"POST \/healthz HTTP/, /"GET \/ HTTP/])
})

t.test('the third field is the user whose session came with the request', async (t) => {
  const log = captureAccessLog(t)
  const server = await startService(t, { ACCESS_LOG: '1' })
  const bob = { email: 'bob@me.com', password: 'secret-password' }
  await request(`${server.url}/users`, 'POST', bob)
  const session = sessionOf(await request(`${server.url}/sessions`, 'POST', bob))
  const cookie = `session_id=${session}`
  for (const path of ['/profile?query', '/account', '/verify', '/']) {
    await fetch(server.url + path, { headers: { cookie } })
  }
  await request(`${server.url}//sessions/`, 'DELETE', undefined, { cookie })
  await request(`${server.url}/profile`, 'GET', undefined, { cookie })
  await closed(server)
  const lines = log()
  t.strictSame(
    lines.map((line) => line.replace(/^\S+ - (\S+) \[.*\] "(.*) HTTP.*$/, '$1 $2')),
    [
      '- POST /users',
      '- POST /sessions',
      '1 GET /profile',
      '1 GET /account',
      '1 GET /verify',
      '- GET /',
      '1 DELETE //sessions/',
      '- GET /profile',
    ],
  )
  t.notMatch(lines.join(), new RegExp(`query|${session}|${bob.email}|${bob.password}`))
})

t.test('the server goes on when nobody reads stdout and stderr any more', async (t) => {
  const server = await startServer(t)
  server.child.stdout?.destroy()
  server.child.stderr?.destroy()
  for (let i = 0; i < 3; i++) {
    t.equal(statuses(await raw(server.port, get('/').repeat(999), LAST)).length, 1000)
    // The log collects lines for a tenth of a second before it writes them.
    await delay(200)
  }
  t.equal(await server.stop(), 0)
})

t.test('a log that nobody reads stops growing, and says later how many lines it has dropped', async (t) => {
  const server = await startServer(t)
  server.child.stdout?.pause()
  let requests = 0
  while (requests < 30_000) requests += statuses(await raw(server.port, get('/').repeat(9999), LAST)).length
  t.notMatch(server.stderr, /dropped/)
  server.child.stdout?.resume()
  await server.stop()
  const [, lost] = /^the access log dropped (\d+) lines: stdout is not being read\n$/.exec(server.stderr) ?? []
  const lines = server.stdout.match(/"GET \//g)?.length ?? 0
  t.equal(lines + Number(lost), requests)
  t.ok(lines < 25_000, `${lines} lines were kept`)
})
