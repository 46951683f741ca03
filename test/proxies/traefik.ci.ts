/** What Traefik sends to a ForwardAuth address, and makes of the answer; Traefik itself is not in Debian. */
import t from 'tap'
import { startServer } from '../helper/program.ts'
import { SETTINGS } from './suite.ts'

t.test('ForwardAuth', async (t) => {
  const { url } = await startServer(t, SETTINGS)
  const bob = new URLSearchParams({ email: 'bob@me.com', password: 'right' })
  await fetch(`${url}/users`, { method: 'POST', body: bob })
  const loggedIn = await fetch(`${url}/login`, { method: 'POST', body: bob, redirect: 'manual' })
  const cookie = loggedIn.headers.getSetCookie()[0]?.replace(/;.*/, '') ?? ''
  /** Traefik asks with GET, with the client's headers and these in place of the client's own. */
  const ask = (headers: Record<string, string>, method = 'GET') =>
    fetch(`${url}/verify`, {
      redirect: 'manual',
      headers: {
        ...headers,
        'X-Forwarded-For': '192.0.2.1',
        'X-Forwarded-Host': 'wiki.example.com',
        'X-Forwarded-Method': method,
        'X-Forwarded-Port': '443',
        'X-Forwarded-Proto': 'https',
        'X-Forwarded-Server': 'traefik',
        'X-Forwarded-Uri': '/a%20b?c=d&e',
        'X-Real-Ip': '192.0.2.1',
      },
    })
  const page = { Accept: 'text/html,*/*;q=0.8' }

  // A status from 200 to 299 lets the request through, with authResponseHeaders copied to it;
  const known = await ask({ ...page, cookie })
  t.equal(known.status, 200)
  t.same([known.headers.get('remote-user'), known.headers.get('remote-email')], ['1', 'bob@me.com'])
  // any other answer goes to the client as it is.
  const unknown = await ask(page)
  t.equal(unknown.status, 302)
  const back = encodeURIComponent('https://wiki.example.com/a%20b?c=d&e')
  t.equal(unknown.headers.get('location'), `https://auth.example.com/login?rd=${back}`)
  for (const refused of [await ask(page, 'POST'), await ask({ Accept: 'application/json' })]) {
    t.equal(refused.status, 401)
    t.equal(refused.headers.get('location'), null)
  }
})
