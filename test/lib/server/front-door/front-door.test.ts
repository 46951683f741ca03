/** The pages over HTTP: what each form does, and which headers a browser gets. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { duration } from '../../../../lib/server/front-door/page.ts'
import { BOB, post, raw } from '../../../helper/http.ts'
import { startMailer } from '../../../helper/mailer.ts'
import { startServer } from '../../../helper/program.ts'
import { startService } from '../../../helper/service.ts'

/** Settings of a service whose session is for all apps of a domain. */
const DOMAIN = { PUBLIC_URL: 'https://auth.example.com', COOKIE_DOMAIN: 'example.com', COOKIE_SECURE: '1' }
const ZOE = { email: 'zoë@me.com', password: 'zebra' }

type Fields = Record<string, string>
/** A reply; `to` is where it redirects, `cookie` the part of its first Set-Cookie that browsers send back. */
type Shown = { status: number; text: string; headers: Headers; to: string | null; cookie: string }

/** Starts a service with Bob registered; returns a function that sends it requests, its Auth, and its port. */
async function start(t: Test, env: Fields = {}) {
  const { auth, url, port } = await startService(t, env)
  await auth.registerUser(BOB.email, BOB.password)
  const ask = async (path: string, fields?: Fields, headers: Fields = {}): Promise<Shown> => {
    const sent = fields && { method: 'POST', body: new URLSearchParams(fields) }
    const response = await fetch(url + path, { redirect: 'manual', headers, ...sent })
    const cookie = response.headers.getSetCookie()[0]?.replace(/;.*/, '') ?? ''
    const to = response.headers.get('location')
    return { status: response.status, text: await response.text(), headers: response.headers, to, cookie }
  }
  return { ask, auth, port }
}

/** A page's error, and its notice, if it has one. */
const alertOf = ({ text }: Shown) => /<p role="alert" id="error">(.*?)<\/p>/.exec(text)?.[1]
const noticeOf = ({ text }: Shown) => /<p role="status">(.*?)<\/p>/.exec(text)?.[1]
/** The value of a page's field. */
const valueOf = (name: string, { text }: Shown) => new RegExp(`name="${name}"[^>]* value="([^"]*)"`).exec(text)?.[1]

t.test('the pages log in, change the password and log out', async (t) => {
  const { ask } = await start(t)
  t.match(await ask('/account'), { status: 303, to: '/login?rd=/account' })
  const form = await ask('/login?rd=%2Fwiki%3Fa')
  t.equal(form.status, 200)
  t.equal(valueOf('rd', form), '/wiki?a')
  t.match(form.text, 'href="/register?rd=%2Fwiki%3Fa"', 'links keep the way back')
  t.notMatch(form.text, '/forgot', 'without a webhook there is no such page')

  const wrong = await ask('/login', { ...BOB, password: 'wrong', rd: '/wiki?a' })
  t.match(wrong, { status: 401, cookie: '' })
  t.equal(alertOf(wrong), '<strong>Error:</strong> Wrong email or password.')
  t.match(wrong.text, '<title>Error: Log in</title>')
  t.same([valueOf('email', wrong), valueOf('rd', wrong)], [BOB.email, '/wiki?a'])
  t.notMatch(wrong.text, /value="wrong"/)

  const loggedIn = await ask('/login', { ...BOB, email: ` ${BOB.email} `, rd: '/wiki?a' })
  t.match(loggedIn, { status: 303, to: '/wiki?a', text: '' })
  t.match(loggedIn.headers.get('set-cookie'), /^session_id=.{36}; HttpOnly; Path=\/; SameSite=Lax; Max-Age=604800$/)
  t.match(await ask('/login', BOB), { status: 303, to: '/account' })
  const session = { cookie: (await ask('/login?rd=/wiki', BOB)).cookie }
  t.match(await ask('/login?rd=/wiki', undefined, session), { status: 303, to: '/wiki' }, 'logged in already')
  t.match(await ask('/register', undefined, session), { status: 303, to: '/account' })
  t.match((await ask('/account', undefined, session)).text, 'You are logged in as <strong>bob@me.com</strong>')

  const change = (password: string, newPassword: string) =>
    ask('/account', { password, new_password: newPassword }, session)
  const refused = await change('wrong', 'new')
  t.match(refused, { status: 401, cookie: '' })
  t.equal(alertOf(refused), '<strong>Error:</strong> The current password is wrong.')
  t.match(refused.text, 'You are logged in as <strong>bob@me.com</strong>')
  t.match(await change('', 'new'), { status: 401 })
  const missing = await change('right', '')
  t.match([missing.status, alertOf(missing)], [400, '<strong>Error:</strong> New password is missing.'])
  t.match(await change('right', 'x'.repeat(73)), { status: 400 })
  const changed = await change('right', 'new')
  t.match(changed, { status: 303, to: '/account' })
  t.match(await ask('/account', undefined, session), { status: 303 }, 'the old session has ended')
  t.match(await change('new', 'newer'), { status: 303, to: '/login?rd=/account' })
  const renewed = { cookie: changed.cookie }
  t.match(await ask('/account', undefined, renewed), { status: 200 })
  t.match(await ask('/login', BOB), { status: 401 })
  const loggedOut = await ask('/logout', {}, renewed)
  t.match(loggedOut, { status: 303, to: '/login', cookie: 'session_id=' })
  t.match(loggedOut.headers.get('set-cookie'), /Max-Age=0/)
  t.match(await ask('/account', undefined, renewed), { status: 303 })
  t.match(await ask('/logout', {}, renewed), { status: 303, to: '/login', cookie: 'session_id=' }, 'again')
})

t.test('the page for new users registers and logs in, or says what is wrong', async (t) => {
  const { ask } = await start(t, { PASSWORD_MIN: '5' })
  const form = await ask('/register?rd=/wiki')
  t.match(form.text, 'minlength="5" aria-describedby="hint"')
  const registered = await ask('/register', { ...ZOE, rd: '/wiki' })
  t.match(registered, { status: 303, to: '/wiki' })
  const account = await ask('/account', undefined, { cookie: registered.cookie })
  t.match(account.text, '<strong>zoë@me.com</strong>')
  for (const [fields, message] of [
    [{ ...BOB, password: 'another' }, 'This email is registered already: log in, or use another.'],
    [{ ...ZOE, email: '' }, /email/i],
    [{ ...ZOE, email: 'no address' }, /@/],
    [{ ...ZOE, password: '' }, /password/i],
    [{ email: 'new@me.com', password: 'four' }, /5 characters/],
    [{ email: 'new@me.com', password: 'x'.repeat(73) }, /72 bytes/],
  ] as const) {
    const refused = await ask('/register', { ...fields, rd: '/wiki' })
    t.match(refused, { status: 400, cookie: '' })
    t.match(alertOf(refused), message)
    t.same([valueOf('email', refused), valueOf('rd', refused)], [fields.email, '/wiki'])
    t.match(refused.text, 'aria-describedby="hint error"')
  }
})

t.test('a forgotten password is reset with the token that the webhook gets', async (t) => {
  const mailer = await startMailer(t)
  const { ask } = await start(t, { RESET_WEBHOOK: mailer.url, RESET_TTL: '9000' })
  t.match((await ask('/login')).text, '<a href="/forgot">')
  t.match(await ask('/forgot'), { status: 200, text: /<title>Forgot/ })
  const nobody = await ask('/forgot', { email: 'nobody@me.com' })
  const bob = await ask('/forgot', { email: `${BOB.email} ` })
  t.match(bob, { status: 200, text: /<strong>bob@me.com<\/strong> has an account here.*for 2 hours/s })
  t.equal(nobody.text.replaceAll('nobody@', 'bob@'), bob.text, 'it does not tell who is registered')
  t.match(await ask('/forgot', { email: '' }), { status: 400 })
  await mailer.mails(1)
  const [sent, ...others] = mailer.received
  t.match(sent, { email: BOB.email, reset_token: String })
  t.strictSame(others, [])
  const { reset_token: token } = Object(sent)

  const form = await ask(`/reset?token=${token}&email=${encodeURIComponent(BOB.email)}`)
  t.same([form.status, valueOf('token', form), valueOf('email', form)], [200, token, BOB.email])
  const fields = { token, email: BOB.email, new_password: 'new' }
  for (const [wrong, status] of [
    [{ token: 'guessed' }, 403],
    [{ token: '' }, 403],
    [{ email: ZOE.email }, 403],
    [{ email: '' }, 403],
    [{ new_password: '' }, 400],
    [{ new_password: 'x'.repeat(73) }, 400],
  ] as const) {
    const refused = await ask('/reset', { ...fields, ...wrong })
    t.equal(refused.status, status)
    const { email, token } = { ...fields, ...wrong }
    t.same([valueOf('email', refused), valueOf('token', refused)], [email, token])
  }
  t.equal(valueOf('token', await ask('/reset')), '', 'a link that lost its query')
  const unescaped = await ask('/reset?token=x&email=ann+shop@me.com ')
  t.equal(valueOf('email', unescaped), 'ann+shop@me.com', 'or did not escape its +')
  t.match(await ask('/reset', fields), { status: 303, to: '/login', cookie: /^notice=/ })
  const again = await ask('/reset', { ...fields, new_password: 'newer' })
  t.equal(alertOf(again), '<strong>Error:</strong> This link has been used or has expired.')
  t.match(await ask('/login', { ...BOB, password: 'new' }), { status: 303 })
})

t.test('a page says what the form before it has done', async (t) => {
  const { ask, auth } = await start(t, { COOKIE_SECURE: '1' })
  const noticeIn = ({ headers }: Shown) => headers.getSetCookie().find((cookie) => cookie.startsWith('notice='))
  const session = { cookie: (await ask('/login', BOB)).cookie }
  for (const [done, path, message] of [
    [
      await ask('/account', { password: BOB.password, new_password: 'new' }, session),
      '/account',
      'Your password has been changed.',
    ],
    [
      await ask('/account', { password: 'new', new_password: 'newer' }, session),
      '/login',
      'Your session had ended, so this form changed nothing. Log in and send it again.',
    ],
    [await ask('/logout', {}, session), '/login', 'You are logged out.'],
    [
      await ask('/reset', { ...BOB, token: await auth.getResetPasswordToken(BOB.email), new_password: 'newer' }),
      '/login',
      'Your password has been changed. Log in with the new one.',
    ],
  ] as const) {
    const cookie = noticeIn(done) ?? ''
    t.match(cookie, /^notice=[a-z-]+; HttpOnly; Path=\/; SameSite=Lax; Max-Age=60; Secure$/)
    const live = `session_id=${await auth.createSession(BOB.email)}; `
    const sent = (more = '') => ({ cookie: `${more}${cookie.replace(/;.*/, '')}`, 'cache-control': 'no-cache' })
    const shown = await ask(path, undefined, sent(path === '/account' ? live : ''))
    t.equal(noticeOf(shown), message)
    t.match(noticeIn(shown), 'notice=; HttpOnly; Path=/; SameSite=Lax; Max-Age=0; Secure')
    for (const other of ['/register', path === '/account' ? '/login' : '/account']) {
      t.equal(noticeOf(await ask(other, undefined, sent())), undefined, other)
    }
  }
  await auth.registerUser(ZOE.email, ZOE.password)
  const zoe = `notice=password-reset; session_id=${await auth.createSession(ZOE.email)}`
  t.match(await ask('/login', undefined, { cookie: zoe }), { status: 303, to: '/account' })
  t.equal(
    noticeOf(await ask('/account', undefined, { cookie: zoe })),
    'The password has been changed. To log in with it, log out here first.',
  )
  t.equal(noticeOf(await ask('/login', undefined, { cookie: 'notice=<b>; a=notice=logged-out' })), undefined)
  const refused = await ask('/account', {}, { ...session, 'sec-fetch-site': 'cross-site' })
  t.match([refused.status, noticeIn(refused)], [403, undefined])
})

t.test('a live session gets its cookie again, with the current settings', async (t) => {
  const { ask, auth } = await start(t, { ...DOMAIN, SESSION_TTL: '99' })
  const cookie = `session_id=${await auth.createSession(BOB.email)}`
  for (const path of ['/login?rd=https://wiki.example.com/a', '/register?rd=https://wiki.example.com/a']) {
    const { to, headers } = await ask(path, undefined, { cookie: `session_id=dead; ${cookie}` })
    t.equal(to, 'https://wiki.example.com/a')
    const [set = ''] = headers.getSetCookie()
    t.ok(set.startsWith(`${cookie}; `))
    t.match(set, /; Max-Age=9[0-9]; Secure; Domain=example\.com$/)
  }
})

t.test('a second click does what the first one did', async (t) => {
  const { ask, auth } = await start(t, { LOGIN_FAILURES: '2' })
  const clicks = await Promise.all([1, 2, 3].map(() => ask('/register', { ...ZOE, rd: '/wiki' })))
  for (const click of clicks) t.match(click, { status: 303, to: '/wiki', cookie: /^session_id=./ })
  const token = await auth.getResetPasswordToken(ZOE.email)
  const fields = { token, email: ZOE.email, new_password: 'new' }
  for (const click of [await ask('/reset', fields), await ask('/reset', fields)]) {
    t.match(click, { status: 303, to: '/login', cookie: 'notice=password-reset' })
  }
  t.match(await ask('/reset', { ...fields, new_password: 'other' }), { status: 403, cookie: '' })
  t.match(await ask('/register', { ...ZOE, password: 'guessed' }), { status: 400, cookie: '' })
  for (const path of ['/register', '/reset']) {
    const late = await ask(path, { ...fields, password: 'new' })
    t.match(late, { status: 429, cookie: '' }, 'they are throttled like a login')
  }
})

t.test('where a browser would not keep the cookie, the page says so', async (t) => {
  const AT = 'me.example'
  for (const [env, host, origin, status] of [
    [{}, AT, `http://${AT}`, 403],
    [{ PUBLIC_URL: `https://${AT}` }, '127.0.0.1:5000', `http://${AT}`, 403],
    [{ PUBLIC_URL: `https://${AT}` }, '10.0.0.1:5000', 'http://10.0.0.1:5000', 403],
    [{}, AT, `https://${AT}`, 303],
    [{}, 'localhost:5000', 'http://localhost:5000', 303],
    [{ PUBLIC_URL: `https://${AT}` }, AT, 'http://evil.com', 403],
  ] as const) {
    const { port, auth } = await start(t, { ...env, COOKIE_SECURE: '1' })
    for (const [path, fields] of [
      ['/login', BOB],
      ['/register', ZOE],
      ['/account', { password: BOB.password, new_password: 'new' }],
    ] as const) {
      const cookie = `Cookie: session_id=${await auth.createSession(BOB.email)}`
      const headers = [`Host: ${host}`, `Origin: ${origin}`, cookie, 'Connection: close']
      const shown = await raw(port, post(path, fields, headers))
      t.match(shown, `HTTP/1.1 ${status} `, `${origin} at ${host}`)
      if (!/evil/.test(origin) && status === 403) t.match(shown, /Over http your browser does not keep the cookie/)
    }
  }
})

t.test('everything that a page shows is escaped', async (t) => {
  const { ask } = await start(t, { RESET_WEBHOOK: 'http://127.0.0.1:9' })
  const evil = `"'><script>alert(1)</script>&amp;@me.com`
  const rd = `/?a=${evil}`
  for (const page of [
    await ask('/login', { email: evil, password: 'x', rd }),
    await ask('/register', { email: evil, password: '', rd }),
    await ask('/forgot', { email: evil }),
    await ask(`/reset?${new URLSearchParams({ token: evil, email: evil })}`),
    await ask(`/login?${new URLSearchParams({ rd })}`),
  ]) {
    t.notMatch(page.text, /<script|value="[^"]*'|"">/)
    t.match(page.text, /&lt;script&gt;alert\(1\)&lt;\/script&gt;|%3Cscript%3E/)
  }
  const shown = await ask('/login', { email: evil, password: 'x' })
  t.equal(valueOf('email', shown), '&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;@me.com')
})

t.test('a page runs no script, and tells browsers so', async (t) => {
  const { ask } = await start(t)
  const { headers, text } = await ask('/login')
  const [, style = ''] = /<style>(.*)<\/style>/s.exec(text) ?? []
  const hash = createHash('sha256').update(style).digest('base64')
  t.equal(
    headers.get('content-security-policy'),
    `default-src 'none'; style-src 'sha256-${hash}'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`,
  )
  t.equal(headers.get('referrer-policy'), 'same-origin')
  t.equal(headers.get('cache-control'), 'no-store')
  t.equal(headers.get('content-type'), 'text/html; charset=utf-8')
  t.equal(headers.get('x-content-type-options'), 'nosniff')
  t.notMatch(text, /<script|\son\w+=|style=|javascript:/i)
  const shared = await start(t, { ...DOMAIN, PUBLIC_URL: 'https://auth.example.com:8443' })
  t.match(
    (await shared.ask('/login')).headers.get('content-security-policy'),
    "form-action 'self' https://example.com:8443 https://*.example.com:8443; ",
  )
  t.match(
    (await shared.ask('/login?rd=https://wiki.example.com:8443/a')).text,
    'go on to <strong>wiki.example.com:8443<',
  )
})

t.test('requests from other sites are refused, login included', async (t) => {
  const { ask, port } = await start(t)
  t.capture(console, 'error')
  const headers = { origin: 'http://evil.com' }
  const refused = await ask('/login', BOB, headers)
  t.match(refused, { status: 403, cookie: '', text: /<form method="post" action="\/login">/ })
  t.match(alertOf(refused), 'Requests from other sites are refused')
  t.match(await ask('/account', {}, headers), { status: 403, text: /<h1>This did not work/ })
  t.match(await ask('/logout', {}, headers), { status: 403, cookie: '' })
  t.match(await ask('/login', BOB, { origin: `http://127.0.0.1:${port}` }), { status: 303 })
  const proxied = await start(t, { PUBLIC_URL: 'https://auth.example.com', COOKIE_SECURE: '1' })
  t.match(await proxied.ask('/login', BOB, { origin: 'https://auth.example.com' }), { status: 303 })
  for (const origin of ['http://auth.example.com', 'https://example.com', `http://127.0.0.1:${proxied.port}`]) {
    t.match(await proxied.ask('/login', BOB, { origin }), { status: 403 }, origin)
    t.match(await proxied.ask('/users', ZOE, { origin }), { status: 403, text: /^{"message"/ }, 'on API paths too')
  }
})

t.test('a page says how long to wait before the next try', async (t) => {
  const { ask } = await start(t, { LOGIN_FAILURES: '1' })
  await ask('/login', { ...BOB, password: 'wrong' })
  const refused = await ask('/login', BOB)
  t.match(refused, { status: 429, cookie: '' })
  t.match(alertOf(refused), /\. Try again in 10 minutes\.$/)
  t.match(refused.headers.get('retry-after'), /^\d+$/)
  t.equal(valueOf('email', refused), BOB.email)

  const other = await start(t, { LOGIN_FAILURES: '1' })
  const session = { cookie: (await other.ask('/login', BOB)).cookie }
  const change = (password: string) => other.ask('/account', { password, new_password: 'new' }, session)
  t.match(await change('wrong'), { status: 401 })
  const account = await change('right')
  t.match(account, { status: 429, text: /logged in as <strong>bob@me\.com</ }, 'a wrong current password counts too')
  t.match(alertOf(account), /\. Try again in 10 minutes\.$/)
  t.equal(duration(121), '3 minutes', 'never too short')
})

t.test('while the store does not answer, pages say so with 503', async (t) => {
  const { ask, auth } = await start(t)
  const session = { cookie: (await ask('/login', BOB)).cookie }
  const errors = t.capture(console, 'error')
  await auth.close()
  const form = await ask('/login', BOB)
  t.match(form, { status: 503, text: /<form method="post" action="\/login">/ })
  t.match(alertOf(form), /\. Try again in 1 second\.$/)
  for (const page of [await ask('/account', undefined, session), await ask('/logout', {}, session)]) {
    t.match(page, { status: 503, cookie: '', text: /<h1>This did not work/ })
  }
  t.equal(errors().length, 3)
})

t.test('a request that fails gets a page as well, or JSON where there is no page', async (t) => {
  const { ask, port } = await start(t)
  t.match(await ask('/logout'), { status: 405, text: /<h1>This did not work/ })
  t.match(await ask('/forgot'), { status: 404, text: /^{"message"/ })
  const post = (body: string, type = 'application/x-www-form-urlencoded') =>
    fetch(`http://127.0.0.1:${port}/login`, { method: 'POST', body, headers: { 'content-type': type } })
  for (const [response, status] of [
    [await post('email=%'), 400],
    [await post('x', 'text/plain'), 415],
    [await post('x'.repeat(20_000)), 413],
  ] as const) {
    t.equal(response.status, status)
    t.match(await response.text(), /<p role="alert".*<form method="post" action="\/login">/s)
  }
})

t.test('a client that disconnects while it waits is not reported as a failure', async (t) => {
  // One password at a time: the second waits for the first.
  const server = await startServer(t, { BCRYPT_COST: '10', UV_THREADPOOL_SIZE: '2' })
  const request = post('/login', BOB, ['Host: a', 'Connection: close'])
  const first = raw(server.port, request)
  const second = connect({ port: server.port, host: '127.0.0.1' })
  second.write(request)
  await once(second, 'connect')
  second.destroy()
  t.match(await first, /^HTTP\/1\.1 401 /)
  t.match(await raw(server.port, request), /^HTTP\/1\.1 401 /)
  t.equal(server.stderr, '')
})

t.test('the cookie is set and cleared for the domain, on every path', async (t) => {
  const { ask, port } = await start(t, DOMAIN)
  const set = /^session_id=.{36}; HttpOnly; Path=\/; SameSite=Lax; Max-Age=604800; Secure; Domain=example\.com$/
  const cleared = 'session_id=; HttpOnly; Path=/; SameSite=Lax; Max-Age=0; Secure; Domain=example.com'
  const loggedIn = await ask('/sessions', BOB)
  t.match(loggedIn.headers.get('set-cookie'), set)
  const headers = { cookie: loggedIn.cookie }
  const out = await fetch(`http://127.0.0.1:${port}/sessions`, { method: 'DELETE', headers, redirect: 'manual' })
  t.equal(out.headers.get('set-cookie'), cleared)
  t.match((await ask('/login', BOB)).headers.get('set-cookie'), set)
  t.equal((await ask('/logout', {})).headers.getSetCookie()[0], cleared)
})

t.test('of several cookies the first live session counts, and logging out ends all', async (t) => {
  const { ask, port } = await start(t)
  const registered = await ask('/register', ZOE)
  const [zoe, bob] = [registered.cookie, (await ask('/login', BOB)).cookie]
  const who = async (...cookies: string[]) =>
    /You are logged in as <strong>(.*)@/.exec(
      (await ask('/account', undefined, { cookie: cookies.join('; ') })).text,
    )?.[1]
  t.equal(await who('session_id=dead', bob, zoe), 'bob')
  t.equal(await who('session_id=dead', 'a=b', zoe, bob), 'zoë')
  const dead = (count: number) => Array.from({ length: count }, () => 'session_id=dead')
  t.equal(await who(...dead(7), bob), 'bob')
  t.equal(await who(...dead(8), bob), undefined, 'only the first eight count')
  t.match(await ask('/logout', {}, { cookie: `session_id=dead; ${bob}; ${zoe}` }), { status: 303 })
  t.same([await who(bob), await who(zoe)], [undefined, undefined])
  const again = { cookie: `${(await ask('/login', BOB)).cookie}; ${(await ask('/login', ZOE)).cookie}` }
  const at = `http://127.0.0.1:${port}/sessions`
  t.equal((await fetch(at, { method: 'DELETE', headers: again, redirect: 'manual' })).status, 302)
  t.equal(await who(again.cookie), undefined)
})

t.test('REGISTRATION=local refuses what comes through a proxy', async (t) => {
  const { ask } = await start(t, { REGISTRATION: 'local', TRUST_PROXY: '1' })
  t.notMatch((await ask('/login')).text, '/register')
  const headers = { 'X-Forwarded-For': '127.0.0.1' }
  t.match(await ask('/users', ZOE, headers), { status: 403, text: /^{"message":"registration is closed/ })
  t.match(await ask('/register', ZOE, headers), { status: 403, text: /<form/ })
  t.match(await ask('/register', undefined, headers), { status: 403, text: /<h1>This did not work/ })
  t.match(await ask('/register'), { status: 200 })
  t.match(await ask('/users', ZOE), { status: 200 })
  t.match(await ask('/register', { ...ZOE, email: 'new@me.com' }), { status: 303 })
})
