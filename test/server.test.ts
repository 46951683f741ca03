import t from 'tap'
import { BOB, raw, request, sessionOf } from './helper/http.ts'
import { startService } from './helper/service.ts'

t.test('each route of the API answers as the README says', async (t) => {
  const { url } = await startService(t)
  const call = async (method: string, path: string, fields?: Record<string, string>, session?: string) => {
    const answered = await request(url + path, method, fields, session ? { cookie: `session_id=${session}` } : {})
    t.equal(answered.headers.get('content-type'), 'application/json')
    t.equal(answered.headers.get('cache-control'), 'no-store')
    t.equal(answered.headers.get('x-content-type-options'), 'nosniff')
    return answered
  }
  t.match(await call('GET', '/'), { status: 200, body: { message: 'Bienvenue' } })
  const created = { email: 'bob@me.com', message: 'user created' }
  t.match(await call('POST', '/users', BOB), { status: 200, body: created })
  t.match(await call('POST', '/users', BOB), { status: 400, body: { message: 'email already registered' } })
  t.match(await call('POST', '/sessions', { ...BOB, password: 'wrong' }), { status: 401, body: { message: String } })
  t.match(await call('POST', '/sessions', { ...BOB, email: 'nobody@me.com' }), { status: 401 })
  t.match(await call('POST', '/sessions', { ...BOB, password: 'x'.repeat(73) }), { status: 401 })
  const login = await call('POST', '/sessions', { ...BOB, email: 'BOB@me.com' })
  t.match(login, { status: 200, body: { email: 'bob@me.com', message: 'logged in' } })
  t.match(
    login.headers.get('set-cookie'),
    /^session_id=[0-9a-f-]{36}; HttpOnly; Path=\/; SameSite=Lax; Max-Age=604800$/,
  )
  const session = sessionOf(login)
  t.match(await call('GET', '/profile', undefined, session), { status: 200, body: { email: 'bob@me.com' } })
  t.match(await call('GET', '/profile?x=y#z', undefined, session), { status: 200 })
  const { headers } = await call('GET', '/profile', undefined, session)
  t.strictSame([headers.get('remote-user'), headers.get('remote-email')], ['1', 'bob@me.com'])
  t.match(await call('GET', '/profile', undefined, 'nope'), { status: 403, body: { message: String } })
  t.match(await call('GET', '/profile'), { status: 403 })
  t.match(await call('DELETE', '/sessions'), { status: 403, body: { message: String } })
  const logout = await call('DELETE', '/sessions', undefined, session)
  t.equal(logout.status, 302)
  t.equal(logout.headers.get('location'), '/')
  t.match(logout.headers.get('set-cookie'), /^session_id=; .*Max-Age=0/)
  t.match(await call('GET', '/profile', undefined, session), { status: 403 })
  t.match(await call('POST', '/reset_password', { email: 'nobody@me.com' }), { status: 403 })
  const reset = await call('POST', '/reset_password', { email: 'bob@ME.com' })
  t.match(reset, { status: 200, body: { email: 'bob@me.com', reset_token: /^[0-9a-f-]{36}$/ } })
  const { reset_token } = Object(reset.body)
  const form = { email: 'bob@ME.com', reset_token, new_password: 'n' }
  t.match(await call('PUT', '/reset_password', { ...form, reset_token: 'x' }), { status: 403 })
  t.match(await call('PUT', '/reset_password', { ...form, new_password: 'x'.repeat(73) }), { status: 400 })
  const updated = { email: 'bob@me.com', message: 'Password updated' }
  t.match(await call('PUT', '/reset_password', form), { status: 200, body: updated })
  t.match(await call('PUT', '/reset_password', form), { status: 403 })
  t.match(await call('POST', '/sessions', BOB), { status: 401 })
  t.match(await call('POST', '/sessions', { ...BOB, password: 'n' }), { status: 200 })
})

t.test('HEAD and OPTIONS work, a wrong method gets 405, and extra slashes make no difference', async (t) => {
  const { url, port } = await startService(t)
  const head = await fetch(`${url}/`, { method: 'HEAD' })
  t.equal(head.status, 200)
  t.equal(head.headers.get('content-length'), '24')
  t.match(await request(`${url}/profile`, 'HEAD'), { status: 403, body: null })
  for (const [path, allow] of [
    ['/', 'GET, HEAD, OPTIONS'],
    ['/sessions', 'POST, DELETE, OPTIONS'],
  ] as const) {
    const options = await request(url + path, 'OPTIONS')
    t.match(options, { status: 204, body: null })
    t.equal(options.headers.get('allow'), allow)
    const wrong = await request(url + path, 'PATCH')
    t.match(wrong, { status: 405, body: { message: `PATCH is not allowed here: use one of ${allow}` } })
    t.equal(wrong.headers.get('allow'), allow)
  }
  t.match(await request(`${url}/users`, 'HEAD'), { status: 405 })
  for (const path of ['/no', '/usersx', '/users/x', '/__proto__', '/constructor']) {
    t.match(await request(url + path, 'GET'), { status: 404, body: { message: 'no such path' } }, path)
  }
  for (const [i, path] of ['/users/', '//users', '///users//', '/users/?x=//y/'].entries()) {
    t.match(await request(url + path, 'POST', { ...BOB, email: `${i}@me.com` }), { status: 200 }, path)
  }
  t.match(await request(`${url}//`, 'GET'), { status: 200 })
  const absolute = 'GET http://x/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
  t.match(await raw(port, absolute), /^HTTP\/1.1 200 .*Bienvenue/s)
  t.match(await raw(port, absolute.replace('GET http://x/', 'OPTIONS *')), /^HTTP\/1.1 204 /)
  t.match(await raw(port, 'GET / HTTP/1.0\r\n\r\n'), /^HTTP\/1.1 200 .*Bienvenue/s)
})

t.test('a browser gets 303 at logout, as it would repeat the DELETE after a 302', async (t) => {
  const { url, port } = await startService(t)
  await request(`${url}/users`, 'POST', BOB)
  for (const [header, line] of [
    ['Sec-Fetch-Site: same-origin\r\n', '303 SEE OTHER'],
    ['Sec-Fetch-Mode: cors\r\n', '302 FOUND'],
  ] as const) {
    const session = sessionOf(await request(`${url}/sessions`, 'POST', BOB))
    const head = `Host: x\r\nCookie: session_id=${session}\r\nConnection: close\r\n${header}`
    const received = await raw(port, `DELETE /sessions HTTP/1.1\r\n${head}\r\n`)
    t.match(received, new RegExp(`^HTTP/1.1 ${line}\r\n.*Location: /\r\n`, 's'))
  }
})

t.test('a bug in the service is answered with a plain 500', async (t) => {
  const { auth, url } = await startService(t)
  auth.getUserFromSessionId = () => Promise.reject(new TypeError('a bug'))
  const errors = t.capture(console, 'error')
  const answered = await request(`${url}/profile`, 'GET', undefined, { cookie: 'session_id=x' })
  t.match(answered, { status: 500, body: { message: 'internal error' } })
  t.equal(errors().length, 1)
})
