/** What a proxy is told, by what it says of the original request. */
import t, { type Test } from 'tap'
import { startService } from '../../../helper/service.ts'

const PUBLIC_URL = 'http://auth.example.com'
const BACK = `${PUBLIC_URL}/login?rd=https%3A%2F%2Fwiki.example.com%2Fa%3Fb%3Dc%2526d`
const PAGE = { accept: 'application/xhtml+xml, text/html;q=0.9' }
const NGINX = { ...PAGE, 'x-original-url': 'https://wiki.example.com/a?b=c%26d', 'x-original-method': 'GET' }
const CADDY = {
  ...PAGE,
  'x-forwarded-proto': 'https',
  'x-forwarded-host': 'wiki.example.com',
  'x-forwarded-uri': '/a?b=c%26d',
  'x-forwarded-method': 'GET',
}

/** Starts a service; returns what asks it. */
async function start(t: Test, env: Record<string, string>) {
  const { auth, url } = await startService(t, env)
  const ask = async (headers: Record<string, string>, method = 'GET') => {
    const response = await fetch(`${url}/verify`, { method, headers, redirect: 'manual' })
    return { status: response.status, to: response.headers.get('location'), headers: response.headers }
  }
  return { ask, auth }
}

t.test('with a live session', async (t) => {
  const { ask, auth } = await start(t, { PUBLIC_URL, TRUST_PROXY: '1' })
  for (const [email, header] of [
    ['bob@me.com', 'bob@me.com'],
    ['zoë"\\%@me.com', 'zo%C3%AB%22%5C%25@me.com'],
  ] as const) {
    const { id } = await auth.registerUser(email, 'password')
    const cookie = `session_id=${await auth.createSession(email)}`
    for (const headers of [{}, NGINX, CADDY]) {
      const told = await ask({ ...headers, cookie })
      t.match(told, { status: 200, to: null })
      t.equal(told.headers.get('remote-user'), String(id))
      t.equal(told.headers.get('remote-email'), header)
    }
  }
})

t.test('without one', async (t) => {
  const { ask } = await start(t, { PUBLIC_URL, TRUST_PROXY: '1' })
  const no = { status: 401, to: null }
  for (const [name, headers, expected] of [
    ['nothing is said', {}, no],
    ['nginx, a page', NGINX, { status: 401, to: BACK }],
    ['nginx, HEAD', { ...NGINX, 'x-original-method': 'HEAD' }, { status: 401, to: BACK }],
    ['nginx, POST', { ...NGINX, 'x-original-method': 'POST' }, no],
    ['nginx, a script', { ...NGINX, accept: 'application/json' }, no],
    ['nginx, any type', { ...NGINX, accept: '*/*' }, no],
    ['nginx, half', { ...NGINX, 'x-original-method': '' }, no],
    ['Caddy, a page', CADDY, { status: 302, to: BACK }],
    ['Caddy, HEAD', { ...CADDY, 'x-forwarded-method': 'HEAD' }, { status: 302, to: BACK }],
    ['Caddy, PUT', { ...CADDY, 'x-forwarded-method': 'PUT' }, no],
    ['Caddy, a script', { ...CADDY, accept: 'text/htmlx' }, no],
    ...['proto', 'host', 'uri', 'method'].map(
      (name) => [`no ${name}`, { ...CADDY, [`x-forwarded-${name}`]: '' }, no] as const,
    ),
    ['both', { ...CADDY, ...NGINX, 'x-forwarded-uri': '/other' }, { status: 401, to: BACK }],
    ['both, POST by nginx', { ...CADDY, ...NGINX, 'x-original-method': 'POST' }, no],
    ['half of one', { ...CADDY, ...NGINX, 'x-original-url': '' }, { status: 302, to: BACK }],
  ] as const) {
    t.match(await ask({ cookie: 'session_id=guessed', ...headers }), expected, name)
    t.match(await ask({ ...headers }, 'HEAD'), expected, `${name}, asked with HEAD`)
  }
})

t.test('who is not believed, or has nowhere to send anybody', async (t) => {
  for (const env of [{ PUBLIC_URL }, { TRUST_PROXY: '1' }] as const) {
    const { ask } = await start(t, env)
    for (const headers of [NGINX, CADDY]) t.match(await ask(headers), { status: 401, to: null })
  }
})
