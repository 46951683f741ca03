/** The answers to a proxy, depending on what it says about the original request. */
import { once } from 'node:events'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
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
/** What Traefik 3 sends besides, according to its source. */
const TRAEFIK = {
  'x-forwarded-for': '192.0.2.1',
  'x-forwarded-port': '443',
  'x-forwarded-server': 'traefik',
  'x-real-ip': '192.0.2.1',
}
const BEHIND = { 'x-forwarded-proto': 'https,http', 'x-forwarded-host': 'wiki.example.com , 10.0.0.1:80' }

/** Starts a service; returns a function that asks its /verify, and its Auth. */
async function start(t: Test, env: Record<string, string>) {
  const { auth, url } = await startService(t, env)
  // Not fetch, whose Sec-Fetch-Mode is that of a script.
  const ask = async (headers: Record<string, string>, method = 'GET') => {
    const [response] = await once(request(`${url}/verify`, { method, headers }).end(), 'response')
    return {
      status: response.statusCode,
      to: response.headers.location,
      headers: response.headers,
      text: await text(response),
    }
  }
  return { ask, auth }
}

t.test('a live session gets 200, and the headers that name its user', async (t) => {
  const { ask, auth } = await start(t, { PUBLIC_URL, TRUST_PROXY: '1' })
  for (const [email, header] of [
    ['bob@me.com', 'bob@me.com'],
    ['zoë"\\%@me.com', 'zo%C3%AB%22%5C%25@me.com'],
  ] as const) {
    const { id } = await auth.registerUser(email, 'password')
    const cookie = `session_id=${await auth.createSession(email)}`
    for (const headers of [{}, NGINX, CADDY]) {
      const told = await ask({ ...headers, cookie })
      t.match(told, { status: 200, to: undefined })
      t.equal(told.headers['remote-user'], String(id))
      t.equal(told.headers['remote-email'], header)
    }
  }
})

t.test('without a live session only a page is sent to the login', async (t) => {
  const { ask } = await start(t, { PUBLIC_URL, TRUST_PROXY: '1' })
  const no = { status: 401, to: undefined }
  for (const [name, headers, expected] of [
    ['nothing is said', {}, no],
    ['nginx, a page', NGINX, { status: 401, to: BACK }],
    ['nginx, HEAD', { ...NGINX, 'x-original-method': 'HEAD' }, { status: 401, to: BACK }],
    ['nginx, POST', { ...NGINX, 'x-original-method': 'POST' }, no],
    ['nginx, a script', { ...NGINX, accept: 'application/json' }, no],
    ['nginx, any type', { ...NGINX, accept: '*/*' }, no],
    ['nginx, no HTML', { ...NGINX, accept: '*/*, text/html;level=1; q=0.00' }, no],
    ['nginx, HTML last', { ...NGINX, accept: '*/*;q=0, Text/HTML ;q=0.001' }, { status: 401, to: BACK }],
    ['nginx, fetch()', { ...NGINX, 'sec-fetch-mode': 'cors' }, no],
    ['nginx, XMLHttpRequest', { ...NGINX, 'x-requested-with': 'XMLHttpRequest' }, no],
    ['nginx, navigation', { ...NGINX, 'sec-fetch-mode': 'navigate' }, { status: 401, to: BACK }],
    ['Caddy behind another proxy', { ...CADDY, ...BEHIND }, { status: 302, to: BACK }],
    ['nginx, half', { ...NGINX, 'x-original-method': '' }, no],
    ['Caddy, a page', CADDY, { status: 302, to: BACK }],
    ['Traefik, a page', { ...CADDY, ...TRAEFIK }, { status: 302, to: BACK }],
    ['Caddy, a script', { ...CADDY, accept: 'text/htmlx' }, no],
    ...['proto', 'host', 'uri', 'method'].map(
      (name) => [`no ${name}`, { ...CADDY, [`x-forwarded-${name}`]: '' }, no] as const,
    ),
    ['both', { ...CADDY, ...NGINX, 'x-forwarded-uri': '/other' }, { status: 401, to: BACK }],
    ['half of one', { ...CADDY, ...NGINX, 'x-original-url': '' }, { status: 302, to: BACK }],
  ] as const) {
    t.match(await ask({ cookie: 'session_id=guessed', ...headers }), expected, name)
    t.match(await ask({ ...headers }, 'HEAD'), expected, `${name}, asked with HEAD`)
  }
})

t.test('without TRUST_PROXY or PUBLIC_URL nobody is sent to the login', async (t) => {
  for (const env of [{ PUBLIC_URL }, { TRUST_PROXY: '1' }] as const) {
    const { ask } = await start(t, env)
    for (const headers of [NGINX, CADDY]) t.match(await ask(headers), { status: 401, to: undefined })
  }
})

t.test('the login leads back to the page, without its query if that is too long', async (t) => {
  const { ask } = await start(t, { PUBLIC_URL, TRUST_PROXY: '1' })
  const at = 'https://wiki.example.com'
  const raw = (text: string) => Buffer.from(text).toString('latin1')
  const long = 'x'.repeat(2048 - at.length - 2)
  for (const [url, expected] of [
    [raw(`${at}/café?ü, b`), `${at}/caf%C3%A9?%C3%BC,%20b`],
    [`${at}/${long}?`, `${at}/${long}?`],
    [`${at}/${long}?y`, `${at}/${long}`],
    [`${at}/?${long}y`, `${at}/`],
    [raw(`${at}/?${'é'.repeat(400)}`), `${at}/`],
    [`${at}/x${long}y?`, null],
  ] as const) {
    const { to } = await ask({ ...NGINX, 'x-original-url': url })
    t.equal(new URL(to ?? '').searchParams.get('rd'), expected)
    t.match(to, `${PUBLIC_URL}/login`)
  }
})

t.test('a form sent without a session gets a page, and a script gets JSON', async (t) => {
  const { ask } = await start(t, { PUBLIC_URL, TRUST_PROXY: '1' })
  for (const headers of [
    { ...NGINX, 'x-original-method': 'POST' },
    { ...CADDY, 'x-forwarded-method': 'POST' },
  ]) {
    const form = await ask(headers)
    t.match(form, { status: 401, to: undefined, text: `<a href="${PUBLIC_URL}/login" target="_blank">` })
    t.match(await ask({ ...headers, 'sec-fetch-mode': 'cors' }), { status: 401, text: '{"message":"not logged in"}' })
  }
})
