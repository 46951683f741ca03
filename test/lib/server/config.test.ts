/** The environment, checked. */
import t from 'tap'
import { readConfig } from '../../../server.ts'
import { request } from '../../helper/http.ts'
import { startServer } from '../../helper/program.ts'

const BOB = { email: 'bob@me.com', password: 'mySuperPwd' }

t.test('configuration', async (t) => {
  t.strictSame(readConfig({}), {
    host: null,
    port: 5000,
    auth: {
      databaseUrl: 'file:users.json',
      bcryptCost: 12,
      sessionTtl: 604800,
      resetTtl: 3600,
      loginFailures: 10,
      accountFailures: 100,
      passwordMin: 1,
    },
    trustProxy: false,
    resetWebhook: null,
    cookieSecure: false,
    registration: 'open',
    publicUrl: null,
    cookieDomain: null,
    accessLog: true,
  })
  for (const [name, value] of [
    ['PORT', 'abc'],
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['PORT', '1e3'],
    ['PORT', ''],
    ['HOST', ''],
    ['BCRYPT_COST', '3'],
    ['BCRYPT_COST', '32'],
    ['SESSION_TTL', '0'],
    ['RESET_TTL', '1.5'],
    ['COOKIE_SECURE', 'yes'],
    ['LOGIN_FAILURES', '-1'],
    ['ACCOUNT_FAILURES', '10001'],
    ['PASSWORD_MIN', '0'],
    ['PASSWORD_MIN', '73'],
    ['UV_THREADPOOL_SIZE', 'abc'],
    ['UV_THREADPOOL_SIZE', '0'],
    ['UV_THREADPOOL_SIZE', '1025'],
    ['TRUST_PROXY', 'true'],
    ['ACCESS_LOG', '2'],
  ] as const) {
    t.throws(() => readConfig({ [name]: value }), { message: new RegExp(`^${name}.*${value}`) }, `${name}=${value}`)
  }
  const settings = { COOKIE_SECURE: '1', TRUST_PROXY: '1', LOGIN_FAILURES: '0' }
  const secure = await startServer(t, { ...settings, SESSION_TTL: '60' })
  await secure.printed(
    /bcrypt cost 4, cookies only over HTTPS, X-Forwarded-For is trusted, failed logins are not limited\n/,
  )
  await request(`${secure.url}/users`, 'POST', BOB)
  const { headers } = await request(`${secure.url}/sessions`, 'POST', BOB)
  t.match(headers.get('set-cookie'), /; Max-Age=60; Secure$/)
})
