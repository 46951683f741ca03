/** The promises that hold behind any proxy: two apps and a login, with the real server and over TLS. */
import { once } from 'node:events'
import type { OutgoingHttpHeaders } from 'node:http'
import t from 'tap'
import { BOB, raw } from '../helper/http.ts'
import { startServer } from '../helper/program.ts'
import { startService } from '../helper/service.ts'
import { type Answered, askOverHttp2, clientOf, type ProxyKind, startApp } from '../helper/proxies.ts'

const AUTH = 'https://auth.example.com'
const WIKI = 'https://wiki.example.com'
const NOTES = 'https://notes.example.com'
/** The service's settings in README.md beside this file, except that registration is open and nothing is logged. */
export const SETTINGS = {
  PUBLIC_URL: AUTH,
  COOKIE_DOMAIN: 'example.com',
  COOKIE_SECURE: '1',
  TRUST_PROXY: '1',
  ACCESS_LOG: '0',
}

const ZOE = { email: 'zoë@me.com', password: 'right' }
/** The headers of a browser that asks for a page. */
const PAGE = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }

/** The session's cookie in an answer. */
const cookieOf = ({ headers }: Answered) => headers['set-cookie']?.[0]?.replace(/;.*/, '') ?? ''

/** Tests a kind of proxy; `stopped` is the status that it answers with while the service is down. */
export function testProxy(kind: ProxyKind, stopped: number): void {
  t.test(`one login opens two apps behind ${kind.name}`, { skip: kind.missing }, async (t) => {
    const server = await startServer(t, { ...SETTINGS, LOGIN_FAILURES: '3' })
    const [wiki, notes] = await Promise.all([startApp(t), startApp(t)])
    const proxy = await kind.start(t, { auth: server.port, wiki, notes })
    const ask = clientOf(proxy)
    const own = { origin: AUTH, 'sec-fetch-site': 'same-origin' }
    // Not through the proxy: there, the paths of the API are closed.
    for (const user of [BOB, ZOE])
      await fetch(`${server.url}/users`, { method: 'POST', body: new URLSearchParams(user) })
    const logIn = async (user: typeof BOB) => cookieOf(await ask('POST', `${AUTH}/login`, user, own))

    await t.test('a page leads to the login and back, with its query', async (t) => {
      const deep = `${WIKI}/a%20b/page?x=1&y=%2F%26&z`
      const sent = await ask('GET', deep, undefined, PAGE)
      t.match(sent, { status: 302, headers: { location: `${AUTH}/login?rd=${encodeURIComponent(deep)}` } })
      const form = await ask('GET', String(sent.headers.location), undefined, PAGE)
      t.match(form, { status: 200, body: /go on to <strong>wiki\.example\.com</ })
      const rd = /name="rd" value="(.*?)"/.exec(String(form.body))?.[1]?.replaceAll('&amp;', '&') ?? ''
      t.equal(rd, deep)
      const loggedIn = await ask('POST', `${AUTH}/login`, { ...BOB, rd }, own)
      t.match(loggedIn, { status: 303, headers: { location: deep } })
      t.match(loggedIn.headers['set-cookie'], [/^session_id=.*; Secure; Domain=example\.com$/])
      const cookie = cookieOf(loggedIn)
      t.match(await ask('GET', deep, undefined, { ...PAGE, cookie }), {
        status: 200,
        body: { method: 'GET', url: '/a%20b/page?x=1&y=%2F%26&z' },
      })
      t.match(await ask('GET', `${NOTES}/`, undefined, { cookie }), { status: 200 }, 'and the other app knows too')
      const long = await ask('GET', `${WIKI}/a?${'%C3%A9'.repeat(1000)}`, undefined, PAGE)
      t.match(long, { status: 302, headers: { location: `${AUTH}/login?rd=${encodeURIComponent(`${WIKI}/a`)}` } })
      const script = { ...PAGE, 'sec-fetch-mode': 'cors' }
      t.match(await ask('GET', deep, undefined, script), { status: 401 }, 'a script is not sent to it')
      t.match(await ask('GET', deep, undefined, { ...PAGE, 'x-requested-with': 'x' }), { status: 401 })
    })

    await t.test('anything but a page is refused', async (t) => {
      const refused = { status: 401, headers: { location: undefined } }
      for (const cookie of ['', 'session_id=guessed']) {
        t.match(await ask('GET', `${WIKI}/`, undefined, { cookie, accept: '*/*' }), refused)
        t.match(await ask('POST', `${WIKI}/`, { a: 'b' }, { cookie, ...PAGE }), refused)
      }
      const forged = { 'x-original-url': 'https://evil.com', 'x-original-method': 'GET', 'x-forwarded-method': 'GET' }
      t.match(await ask('POST', `${WIKI}/`, { a: 'b' }, { ...PAGE, ...forged }), refused)
      const page = await ask('GET', `${WIKI}/`, undefined, { ...PAGE, ...forged, 'x-forwarded-host': 'evil.com' })
      t.equal(page.headers.location, `${AUTH}/login?rd=${encodeURIComponent(`${WIKI}/`)}`)
    })

    await t.test('the app learns who is logged in, whatever the client says, and never gets the session', async (t) => {
      const forged = {
        'remote-user': '999',
        'Remote-Email': 'admin@me.com',
        remote_user: '999',
        Remote_Email: 'admin@me.com',
        'x-forwarded-for': '1.2.3.4',
      }
      const told = async (user: typeof BOB) => {
        const cookie = `a=b; ${await logIn(user)}; xsession_id=c`
        const { body } = await ask('GET', `${WIKI}/`, undefined, { ...forged, cookie })
        const headers = Object.entries(Object(body).headers)
        return Object.fromEntries(headers.filter(([name]) => /^(remote|x-forwarded-for|cookie)/.test(name)))
      }
      const [bob, zoe] = [await told(BOB), await told(ZOE)]
      t.notMatch(JSON.stringify(bob), /999|admin|1\.2\.3\.4|[^x]session_id/, 'nothing forged')
      const rest = { 'x-forwarded-for': '127.0.0.1', cookie: 'a=b; xsession_id=c' }
      t.strictSame(bob, { ...rest, 'remote-user': '1', 'remote-email': BOB.email })
      t.strictSame(zoe, { ...rest, 'remote-user': '2', 'remote-email': 'zo%C3%AB@me.com' })
      const session = await logIn(BOB)
      for (const cookie of [
        session,
        `${session}; a=b`,
        `session_id="x"; ${session}; a=b`,
        `a=b;session_id=;${session}`,
      ]) {
        const { status, body } = await ask('GET', `${WIKI}/`, undefined, { cookie })
        t.equal(status, 200)
        t.notMatch(Object(body).headers.cookie, /session_id/, cookie)
      }
    })

    await t.test('nothing else that apps take for identity or origin comes from the client', async (t) => {
      const cookie = await logIn(BOB)
      const forged = {
        'Remote-Groups': 'forged',
        'Remote-Name': 'forged',
        'X-Forwarded-Host': 'forged',
        'X-Forwarded-Port': '666',
        'X-Forwarded-Preferred-Username': 'forged',
        'X-Forwarded-Prefix': '/forged',
        'X-Forwarded-Proto': 'forged',
        'X-Forwarded-Server': 'forged',
        'X-Forwarded-Ssl': 'forged',
        'X-Forwarded-User': 'forged',
        'X-Real-IP': '6.6.6.6',
        'X-Original-URL': '/forged',
        'X-Rewrite-URL': '/forged',
        'X-Client-IP': '6.6.6.6',
        X_Forwarded_For: '6.6.6.6',
        Forwarded: 'for=6.6.6.6;host=forged',
      }
      const { status, body } = await ask('GET', WIKI, undefined, { ...forged, cookie })
      t.equal(status, 200)
      t.notMatch(JSON.stringify(body), /forged|666|6\.6\.6\.6/)
      t.match(body, { headers: { 'x-forwarded-host': 'wiki.example.com', 'x-forwarded-proto': 'https' } })
    })

    await t.test('naming a header in Connection does not take it away from the app or the service', async (t) => {
      const cookie = await logIn(BOB)
      const names = ['Remote-User', 'Remote-Email', 'X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Proto', 'Host']
      for (const connection of [`close, ${names.join()}`, ['close', ...names]]) {
        const { status, body } = await ask('GET', WIKI, undefined, { cookie, connection })
        if (status === 200) t.hasStrict(body, { headers: { 'remote-user': '1', 'x-forwarded-for': '127.0.0.1' } })
        else t.equal(status, 400)
        t.match(await ask('GET', `${AUTH}/login`, undefined, { connection }), { status })
      }
    })

    await t.test('only a WebSocket upgrades a connection', async (t) => {
      const cookie = await logIn(BOB)
      const upgrade = (to: string | string[]) => {
        const headers: OutgoingHttpHeaders = { cookie, connection: 'Upgrade, HTTP2-Settings', 'http2-settings': '' }
        return ask('GET', WIKI, undefined, { ...headers, Upgrade: to })
      }
      for (const to of ['h2c', 'H2C', 'websocket, h2c', 'h2c, websocket', ['websocket', 'h2c'], ['h2c', 'websocket']]) {
        const { status, socket } = await upgrade(to)
        if (socket) t.notMatch(await askOverHttp2(socket, { ':path': '/admin', 'remote-user': '999' }), '999', `${to}`)
        else t.ok(status === 200 || status === 400, `${to}: ${status}`)
      }
      const { status, socket } = await ask('GET', WIKI, undefined, {
        cookie,
        connection: 'Upgrade',
        upgrade: 'WebSocket',
      })
      t.equal(status, 101)
      socket?.write('echo')
      t.match(String(await once(socket ?? process, 'data')), 'echo')
      socket?.destroy()
    })

    await t.test('the address in the request line counts, not the Host beside it', async (t) => {
      const headers = { host: 'evil.com:666', cookie: await logIn(BOB) }
      const { status, body } = await ask('GET', WIKI, undefined, headers, `${WIKI}/a?b`)
      t.equal(status, 200)
      t.match(body, { url: '/a?b', headers: { host: 'wiki.example.com', 'x-forwarded-host': 'wiki.example.com' } })
      const login = await ask('GET', WIKI, undefined, { ...PAGE, host: 'evil.com' }, `${WIKI}/a?b`)
      t.equal(login.headers.location, `${AUTH}/login?rd=${encodeURIComponent(`${WIKI}/a?b`)}`)
      const { body: named } = await ask('GET', WIKI, undefined, { ...headers, host: 'wiki.example.com:8443' })
      t.match(named, { headers: { host: 'wiki.example.com:8443' } }, 'with its port, as in Origin')
    })

    await t.test('large headers pass, and larger ones get 431', async (t) => {
      const cookie = await logIn(BOB)
      const long = (length: number) => 'x'.repeat(length)
      const large = { accept: `text/html,${long(3000)}`, cookie: `${cookie}; a=${long(6000)}` }
      t.match(await ask('GET', `${WIKI}/?${long(5000)}`, undefined, large), { status: 200 })
      const larger = { accept: `text/html,${long(6000)}`, cookie: large.cookie }
      t.match(await ask('GET', `${WIKI}/?${long(6000)}`, undefined, larger), { status: 431 })
    })

    await t.test('a form sent to an app without a session gets a page with a link to the login', async (t) => {
      const { status, headers, body } = await ask('POST', `${WIKI}/edit`, { text: 'long' }, PAGE)
      t.match({ status, type: headers['content-type'] }, { status: 401, type: /^text\/html/ })
      t.match(body, `<a href="${AUTH}/login`)
      t.match(await ask('POST', `${WIKI}/edit`, { text: 'long' }), { status: 401, headers: { location: undefined } })
    })

    await t.test('bodies and methods reach the app as they are', async (t) => {
      const cookie = await logIn(BOB)
      const large = { large: 'x'.repeat(100_000) }
      t.match(await ask('PUT', `${NOTES}/a`, large, { cookie }), {
        status: 200,
        headers: { 'strict-transport-security': 'max-age=31536000' },
        body: { method: 'PUT', body: `large=${large.large}`, headers: { host: 'notes.example.com' } },
      })
    })

    await t.test('only the pages are public', async (t) => {
      for (const path of [
        '/users',
        '/sessions',
        '/profile',
        '/reset_password',
        '/verify',
        '/healthz',
        '/_auth',
        '//users',
        '/users/',
      ]) {
        t.match(await ask('GET', `${AUTH}${path}`), { status: 404 }, path)
        t.match(await ask('POST', `${AUTH}${path}`, { ...BOB, email: 'x@me.com' }), { status: 404 }, path)
      }
      t.match(await ask('GET', `${AUTH}/`), { status: 302, headers: { location: /\/account$/ } })
      t.match(await ask('GET', `${AUTH}/account`), { status: 303, headers: { location: '/login?rd=/account' } })
    })

    await t.test('a form of the service passes, one of an app or another site does not', async (t) => {
      for (const origin of [WIKI, 'https://evil.com', 'null']) {
        t.match(await ask('POST', `${AUTH}/login`, BOB, { origin }), { status: 403 }, origin)
      }
      t.match(await ask('POST', `${AUTH}/logout`, {}, { 'sec-fetch-site': 'same-site' }), { status: 403 })
      t.match(await ask('POST', `${AUTH}/login`, BOB, { origin: AUTH }), { status: 303 })
    })

    await t.test('logging out ends the session for all apps', async (t) => {
      const cookie = await logIn(BOB)
      t.match(await ask('POST', `${AUTH}/logout`, {}, { ...own, cookie }), { status: 303 })
      for (const app of [WIKI, NOTES]) t.match(await ask('GET', app, undefined, { ...PAGE, cookie }), { status: 302 })
    })

    await t.test('plain HTTP is redirected', async (t) => {
      const request = 'GET /a?b HTTP/1.1\r\nHost: wiki.example.com\r\nConnection: close\r\n\r\n'
      t.match(
        await raw(proxy.http, request),
        /^HTTP\/1\.1 30[18] .*\r\nLocation: https:\/\/wiki\.example\.com\/a\?b\r\n/s,
      )
    })

    await t.test('guessing passwords is limited by the real address', async (t) => {
      const wrong = { ...BOB, password: 'wrong' }
      for (const [last, status] of [401, 401, 401, 429].entries()) {
        const headers = { ...own, 'x-forwarded-for': `1.2.3.${last}` }
        t.match(await ask('POST', `${AUTH}/login`, wrong, headers), { status })
      }
      // Only Linux has the other addresses of 127.0.0.0/8 by default.
      const other = process.platform === 'linux' ? clientOf(proxy, '127.0.0.2') : undefined
      if (other) t.match(await other('POST', `${AUTH}/login`, wrong, own), { status: 401 }, 'others are not limited')
    })

    await t.test('the app keeps a session_id of its own with another COOKIE_NAME', async (t) => {
      const COOKIE_NAME = 'auth.+session'
      const { auth, port } = await startService(t, { ...SETTINGS, COOKIE_NAME })
      await auth.registerUser(BOB.email, BOB.password)
      const ask = clientOf(await kind.start(t, { auth: port, wiki, notes }, COOKIE_NAME))
      const session = cookieOf(await ask('POST', `${AUTH}/login`, BOB, own))
      t.match(session, /^auth\.\+session=/)
      for (const cookie of [`session_id=theirs; ${session}; a=b`, `${session};session_id=theirs; a=b`]) {
        const { status, body } = await ask('GET', WIKI, undefined, { cookie })
        t.match({ status, body }, { status: 200, body: { headers: { cookie: 'session_id=theirs; a=b' } } })
      }
    })

    await t.test('without the service nobody reaches an app', async (t) => {
      await server.stop()
      t.match(await ask('GET', WIKI, undefined, PAGE), { status: stopped })
    })
  })
}
