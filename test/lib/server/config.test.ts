/** The configuration: what the environment and programs may set, and README's table of it. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { Auth, AUTH_OPTIONS } from '../../../auth.ts'
import { type Option, readEnvironment } from '../../../lib/options.ts'
import { PROCESS_OPTIONS, SERVER_OPTIONS } from '../../../lib/server/config.ts'
import { createService, readConfig } from '../../../server.ts'
import { BOB, request } from '../../helper/http.ts'
import { ROOT } from '../../helper/program.ts'
import { startService } from '../../helper/service.ts'

const RECEIVER = 'expected http://… or https://…; write / ? # in a password as %2F %3F %23'
const HTTPS = { PUBLIC_URL: 'https://auth.example.com', COOKIE_SECURE: '1' }
const domain = (COOKIE_DOMAIN: string) => ({ ...HTTPS, COOKIE_DOMAIN })

t.test('valid settings are accepted', async (t) => {
  t.strictSame(readConfig({}), {
    host: null,
    port: 5000,
    trustProxy: false,
    resetWebhook: null,
    registration: 'open',
    cookieName: 'session_id',
    cookieSecure: false,
    cookieDomain: null,
    publicUrl: null,
    accessLog: true,
  })
  for (const [env, expected] of [
    [{ PUBLIC_URL: 'http://LOCALHOST:5000/' }, { publicUrl: 'http://localhost:5000', cookieDomain: null }],
    [{ PUBLIC_URL: 'http://auth.lan' }, { publicUrl: 'http://auth.lan' }],
    [HTTPS, { publicUrl: 'https://auth.example.com', cookieDomain: null }],
    [domain('Example.com'), { cookieDomain: 'example.com' }],
    [domain('auth.example.com'), { cookieDomain: 'auth.example.com' }],
    [{ REGISTRATION: 'local' }, { registration: 'local' }],
    [{ COOKIE_NAME: 'auth.sid' }, { cookieName: 'auth.sid' }],
    [{ ...domain('example.com'), COOKIE_NAME: '__Secure-id' }, { cookieName: '__Secure-id' }],
    [{ ...HTTPS, COOKIE_NAME: '__Host-id' }, { cookieName: '__Host-id' }],
  ] as const) {
    t.match(readConfig(env), expected)
  }
})

t.test('invalid settings are refused in one line that says why', async (t) => {
  for (const [env, message] of [
    [{ PORT: 'abc' }, 'PORT=abc: expected an integer from 0 to 65535'],
    [{ PORT: '65536' }, /^PORT=65536: expected an integer/],
    [{ PORT: '' }, 'PORT is empty: set it or unset it'],
    [{ BCRYPT_COST: '3' }, 'BCRYPT_COST=3: expected an integer from 4 to 31'],
    [{ RESET_TTL: '1.5' }, /^RESET_TTL=1.5: expected an integer/],
    [{ UV_THREADPOOL_SIZE: 'abc' }, 'UV_THREADPOOL_SIZE=abc: expected an integer from 1 to 1024'],
    [{ UV_THREADPOOL_SIZE: '1025' }, /^UV_THREADPOOL_SIZE=1025/],
    [{ COOKIE_SECURE: 'yes' }, 'COOKIE_SECURE=yes: expected 1 (true) or 0 (false)'],
    [{ TRUST_PROXY: 'true' }, /^TRUST_PROXY=true: expected 1/],
    [{ REGISTRATION: 'closed' }, 'REGISTRATION=closed: expected open or local'],
    [{ DATABASE_URL: 'mysql://me:secret@x' }, /^DATABASE_URL=mysql:\/\/me:\*\*\*@x: expected file:PATH/],
    [{ RESET_WEBHOOK: 'ftp://me:secret@x' }, `RESET_WEBHOOK=ftp://me:***@x: ${RECEIVER}`],
    [{ RESET_WEBHOOK: 'http://me:sec/ret@x' }, `RESET_WEBHOOK=http://me:***@x: ${RECEIVER}`],
    [{ RESET_WEBHOOK: 'http:/me:secret@x' }, `RESET_WEBHOOK=http:***@x: ${RECEIVER}`],
    [{ RESET_WEBHOOK: 'me:secret@x' }, `RESET_WEBHOOK=me:***@x: ${RECEIVER}`],
    [{ PUBLIC_URL: 'https://me:secret@x' }, /^PUBLIC_URL=https:\/\/me:\*\*\*@x: expected https:\/\/HOST/],
    [{ PUBLIC_URL: 'auth.example.com' }, /^PUBLIC_URL=auth\.example\.com: expected https:\/\/HOST/],
    [{ PUBLIC_URL: 'ftp://auth.example.com' }, /expected https/],
    [{ PUBLIC_URL: 'http://auth.example.com/login' }, /expected https/],
    [{ PUBLIC_URL: 'http://bob@auth.example.com' }, /expected https/],
    [{ PUBLIC_URL: 'https://auth.example.com' }, 'PUBLIC_URL=https://auth.example.com: https needs COOKIE_SECURE=1'],
    [{ COOKIE_DOMAIN: 'example.com' }, 'COOKIE_DOMAIN=example.com: set PUBLIC_URL too'],
    [domain('wiki.example.com'), /PUBLIC_URL=https:\/\/auth\.example\.com is not in this domain$/],
    [domain('ample.com'), /is not in this domain/],
    [domain('.example.com'), 'COOKIE_DOMAIN=.example.com: expected a domain, such as example.com'],
    [domain('com'), /expected a domain/],
    [domain('example.com.'), /expected a domain/],
    [domain('example.com; Path=/x'), /expected a domain/],
    [domain('https://example.com'), /expected a domain/],
    [{ PUBLIC_URL: 'http://127.0.0.1', COOKIE_DOMAIN: '127.0.0.1' }, /expected a domain/],
    [{ PUBLIC_URL: 'http://[::1]', COOKIE_DOMAIN: '[::1]' }, /expected a domain/],
    [{ COOKIE_NAME: 'my id' }, /^COOKIE_NAME=my id: expected letters, digits and /],
    [{ COOKIE_NAME: 'sïd' }, /expected letters/],
    [{ COOKIE_NAME: 'notice' }, /^COOKIE_NAME=notice: the pages have a cookie of this name/],
    [{ COOKIE_NAME: '__Secure-id' }, 'COOKIE_NAME=__Secure-id: this prefix needs COOKIE_SECURE=1'],
    [{ COOKIE_NAME: '__host-id' }, 'COOKIE_NAME=__host-id: this prefix needs COOKIE_SECURE=1'],
    [{ ...domain('example.com'), COOKIE_NAME: '__Host-id' }, /__Host-id: this prefix allows no COOKIE_DOMAIN$/],
  ] as const) {
    const read = () => [readConfig(env), readEnvironment(AUTH_OPTIONS, env)]
    t.throws(read, { name: 'ValueError', message }, JSON.stringify(env))
  }
})

/** Every option of the service, including those that only the environment can set. */
const ALL: Option[] = [AUTH_OPTIONS, SERVER_OPTIONS, PROCESS_OPTIONS].flatMap((table) => Object.values(table))

t.test('no variable may have a control character, and no refusal prints one', async (t) => {
  t.equal(ALL.length, 18)
  for (const { env, default: fallback } of ALL) {
    const value = typeof fallback === 'boolean' ? '1' : (fallback ?? 'https://x')
    for (const [character, shown] of [
      ['\r', '\\x0d'],
      ['\n', '\\x0a'],
      ['\u009b', '\\x9b'],
    ]) {
      const vars = { [env]: `${value}${character}` }
      const read = () => [readConfig(vars), readEnvironment(AUTH_OPTIONS, vars)]
      t.throws(read, { name: 'ValueError', message: new RegExp(`^${env}=.*\\${shown}: [ -~]+$`) }, env)
    }
  }
  t.throws(() => readEnvironment(AUTH_OPTIONS, { DATABASE_URL: 'file:users.json\r' }), {
    message: 'DATABASE_URL=file:users.json\\x0d: remove the control character, such as a carriage return',
  })
  for (const url of ['file:users.json ', ' file:users.json', 'file:users.json\u00a0']) {
    t.throws(() => readEnvironment(AUTH_OPTIONS, { DATABASE_URL: url }), {
      message: `DATABASE_URL=${url}: remove the space before or after it`,
    })
  }
})

t.test('the configuration of a program is checked like that of the environment', async (t) => {
  const auth = new Auth({ databaseUrl: 'memory:' })
  for (const [config, message] of [
    [{ nonsense: true }, /^unknown option nonsense=true: expected one of host, port, /],
    [{ port: '5000' }, "port='5000': expected an integer from 0 to 65535"],
    [{ cookieSecure: 'yes' }, "cookieSecure='yes': expected 1 (true) or 0 (false)"],
    [{ resetWebhook: new URL('http://me:secret@x') }, 'resetWebhook=[object URL]: expected a non-empty string'],
    [{ publicUrl: 'https://auth.example.com' }, /https needs COOKIE_SECURE=1$/],
    ['', "expected an object with options, got ''"],
  ] as const) {
    // As a program in JavaScript may pass it.
    t.throws(() => Reflect.apply(createService, null, [{ auth, config }]), { name: 'ValueError', message })
  }
})

t.test("the session's cookie has the configured name, and lives as long as Auth's session", async (t) => {
  const { url } = await startService(t, { SESSION_TTL: '60', COOKIE_NAME: 'auth.sid', COOKIE_SECURE: '1' })
  await request(`${url}/users`, 'POST', BOB)
  const { headers } = await request(`${url}/sessions`, 'POST', BOB)
  const [cookie = ''] = headers.getSetCookie()
  t.match(cookie, /^auth\.sid=[-\w]+; HttpOnly; Path=\/; SameSite=Lax; Max-Age=60; Secure$/)
  const id = /=([^;]*)/.exec(cookie)?.[1]
  for (const [sent, status] of [
    [`auth.sid=${id}`, 200],
    [`session_id=${id}`, 403],
  ] as const) {
    const answered = await request(`${url}/profile`, 'GET', undefined, { cookie: sent })
    t.equal(answered.status, status, sent)
  }
  t.match(await request(`${url}/profile`, 'GET'), { body: { message: 'no auth.sid cookie: log in first' } })
})

t.test("README's table has every variable, with its default", async (t) => {
  const readme = readFileSync(`${ROOT}/README.md`, 'utf8')
  const table = /^## Configuration\n.*?^\| -.*?\n(.*?)\n\n/ms.exec(readme)?.[1] ?? ''
  const rows = table.split('\n').map((row) => row.split('|').map((cell) => cell.trim()))
  const documented = rows.flatMap(([, names = '', defaults = '']) => {
    const values = defaults.split(', ')
    return names.split(', ').map((name, i) => [name.replaceAll('`', ''), values[i]?.replaceAll('`', '')])
  })
  const written = ({ env, default: value }: Option) => {
    if (env === 'HOST') return [env, 'all']
    if (env === 'UV_THREADPOOL_SIZE') return [env, '64 by npm start']
    return [env, typeof value === 'boolean' ? `${Number(value)}` : `${value ?? ''}`]
  }
  t.strictSame(documented.toSorted(), ALL.map(written).toSorted())
})
