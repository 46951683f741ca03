/** Cookies, paths and addresses. */
import t from 'tap'
import { BOB, request, sessionOf } from '../../helper/http.ts'
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
    ['::ffff:102:304', '1.2.3.4'],
    ['[0:0:0:0:0:FFFF:fffe:fd01]:80', '255.254.253.1'],
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
