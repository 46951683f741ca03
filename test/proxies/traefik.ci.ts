/** Requests as Traefik's ForwardAuth sends them, and what it does with the answers; Debian has no Traefik to run. */
import { once } from 'node:events'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { startService } from '../helper/service.ts'
import { SETTINGS } from './suite.ts'

t.test('ForwardAuth lets a live session through, and sends a page to the login', async (t) => {
  const { auth, url } = await startService(t, SETTINGS)
  await auth.registerUser('bob@me.com', 'right')
  const cookie = `session_id=${await auth.logIn('bob@me.com', 'right')}`
  /** Asks as Traefik does: with GET and the client's headers, except that it sets these itself. */
  const ask = async (headers: Record<string, string>, method = 'GET') => {
    const all = {
      ...headers,
      'X-Forwarded-For': '192.0.2.1',
      'X-Forwarded-Host': 'wiki.example.com',
      'X-Forwarded-Method': method,
      'X-Forwarded-Port': '443',
      'X-Forwarded-Proto': 'https',
      'X-Forwarded-Server': 'traefik',
      'X-Forwarded-Uri': '/a%20b?c=d&e',
      'X-Real-Ip': '192.0.2.1',
    }
    const [answer] = await once(request(`${url}/verify`, { headers: all }).end(), 'response')
    return { status: answer.statusCode, headers: answer.headers, body: await text(answer) }
  }
  const page = { Accept: 'text/html,*/*;q=0.8' }

  // On a 2xx Traefik lets the request through, with the headers that authResponseHeadersRegex matches copied to it.
  t.match(await ask({ ...page, cookie }), {
    status: 200,
    headers: { 'remote-user': '1', 'remote-email': 'bob@me.com' },
  })
  // Any other answer goes to the client as it is.
  const location = `https://auth.example.com/login?rd=${encodeURIComponent('https://wiki.example.com/a%20b?c=d&e')}`
  t.match(await ask(page), { status: 302, headers: { location } })
  t.match(await ask(page, 'POST'), { status: 401, headers: { location: undefined }, body: /<h1>You are not logged in/ })
  t.match(await ask({ Accept: 'application/json' }), { status: 401, headers: { location: undefined }, body: /^{/ })
})
