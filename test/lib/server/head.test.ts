/** Cookies, paths and addresses. */
import t from 'tap'
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
