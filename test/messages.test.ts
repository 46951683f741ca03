/** Every message that helps somebody on: what was sent or set, and the line that comes back, word for word. */
import t from 'tap'
import { Auth, AUTH_OPTIONS } from '../auth.ts'
import { readEnvironment } from '../lib/options.ts'
import { listen as listenAt } from '../lib/server/start.ts'
import { createService, readConfig } from '../server.ts'
import { createDatabase, NEEDS_POSTGRES } from './helper/postgres.ts'
import { startServer, tempDir } from './helper/program.ts'
import { startService } from './helper/service.ts'

const FORM = 'application/x-www-form-urlencoded'
const TYPES = 'application/x-www-form-urlencoded, multipart/form-data, application/json'
const PLUS = 'email contains a space; in a form, write + as %2B (curl: --data-urlencode)'

/** Method and path, headers, body; status, message. */
const REQUESTS = [
  ['POST /users', FORM, '', 400, 'email is missing'],
  ['POST /users', FORM, 'email=a@b.c', 400, 'password is missing'],
  ['POST /users', FORM, 'email=a@b.c&password=', 400, 'password is missing'],
  ['POST /sessions', FORM, 'password=x', 401, 'email is missing'],
  ['POST /sessions', FORM, 'email=a@b.c', 401, 'password is missing'],
  ['POST /reset_password', FORM, 'x=y', 403, 'email is missing'],
  ['PUT /reset_password', FORM, 'email=a@b.c', 403, 'reset_token is missing'],
  ['PUT /reset_password', FORM, 'email=a@b.c&reset_token=x', 403, 'new_password is missing'],
  [
    'POST /users',
    FORM,
    'email=a@b.c&password=100%',
    400,
    'malformed body: password contains a stray %; write it as %25 (curl: --data-urlencode)',
  ],
  ['POST /users', FORM, 'email=%ff', 400, 'malformed body: email is not valid UTF-8'],
  [
    'POST /users',
    FORM,
    '%=1',
    400,
    'malformed body: the name of a field contains a stray %; write it as %25 (curl: --data-urlencode)',
  ],
  [
    'POST /users',
    FORM,
    '{"email":"a@b.c","password":"x"}',
    400,
    'malformed body: it looks like JSON; send it with Content-Type: application/json',
  ],
  ['POST /users', FORM, 'email=a+tag@c.d&password=x', 400, PLUS],
  ['POST /sessions', FORM, 'email=a+tag@c.d&password=x', 401, PLUS],
  [
    'POST /users',
    FORM,
    'email=a@b.c&password=x\n',
    400,
    'malformed body: password contains a line break; remove it (curl: -d @FILE) or write it as %0A',
  ],
  ['POST /users', 'application/json', '{"email":1}', 400, 'malformed body: email must be a string'],
  ['POST /users', 'application/json', '[]', 400, 'malformed body: expected a JSON object'],
  ['POST /users', 'text/plain', 'x', 415, `Content-Type text/plain is not supported; use one of ${TYPES}`],
  ['POST /users', '', 'email=a@b.c', 415, `a body without Content-Type is not supported; use one of ${TYPES}`],
  ['PATCH /sessions', FORM, '', 405, 'PATCH is not allowed here: use one of POST, DELETE, OPTIONS'],
  ['GET /nope', '', '', 404, 'no such path'],
  ['GET /profile', '', '', 403, 'no session_id cookie: log in first'],
  ['GET /profile', 'cookie', '', 403, 'unknown or expired session: log in again'],
  ['DELETE /sessions', '', '', 403, 'no session_id cookie: log in first'],
  ['DELETE /sessions', 'cookie', '', 403, 'unknown or expired session: log in again'],
] as const

t.test('what comes back for a request', async (t) => {
  const { url } = await startService(t, { LOGIN_FAILURES: '1' })
  for (const [line, type, body, status, message] of REQUESTS) {
    const [method = '', path = ''] = line.split(' ')
    const headers: Record<string, string> =
      type === 'cookie' ? { cookie: 'session_id=old' } : type === '' ? {} : { 'content-type': type }
    // Bytes, as fetch gives a string a Content-Type of its own.
    const bytes = method === 'GET' ? {} : { body: Buffer.from(body) }
    const response = await fetch(url + path, { method, headers, ...bytes })
    t.strictSame([response.status, await response.json()], [status, { message }], `${line} ${body}`)
  }
})

t.test('a field that is missing is no failed login', async (t) => {
  const { url } = await startService(t, { LOGIN_FAILURES: '1' })
  for (const body of ['email=a@b.c', 'password=x', 'email=a+@b.c&password=x', 'email=a@b.c&password=x']) {
    const response = await fetch(`${url}/sessions`, { method: 'POST', headers: { 'content-type': FORM }, body })
    t.equal(response.status, 401, body)
  }
})

/** Starts the service as the program does. */
async function start(env: Record<string, string>): Promise<void> {
  const all = { HOST: '127.0.0.1', PORT: '0', DATABASE_URL: 'memory:', ...env }
  const config = readConfig(all)
  const auth = new Auth(readEnvironment(AUTH_OPTIONS, all))
  try {
    await auth.open()
    await listenAt(createService({ auth, config }), config)
  } finally {
    await auth.close()
  }
}

t.test('what is said at a start that fails', async (t) => {
  const dir = tempDir(t)
  const running = await startServer(t, { DATABASE_URL: `file:${dir}/users.json` })
  for (const [env, message] of [
    [{ PORT: 'abc' }, 'PORT=abc: expected an integer from 0 to 65535'],
    [{ HOST: '' }, 'HOST is empty: set it or unset it'],
    [{ DATABASE_URL: 'mysql://x' }, /^DATABASE_URL=mysql:\/\/x: expected file:PATH/],
    [{ DATABASE_URL: `file:${dir}` }, /^\S+ is not a regular file/],
    [
      { PORT: `${running.port}` },
      `HOST=127.0.0.1 PORT=${running.port}: listen EADDRINUSE: address already in use 127.0.0.1:${running.port}; set HOST or PORT to something else`,
    ],
    [
      { HOST: '192.0.2.1' },
      'HOST=192.0.2.1 PORT=0: listen EADDRNOTAVAIL: address not available 192.0.2.1; set HOST or PORT to something else',
    ],
    [
      { DATABASE_URL: 'file:/no/such/dir/users.json' },
      /^cannot open \/no\/such\/dir\/users.json: ENOENT: no such file or directory, .*'\/no'$/,
    ],
    [
      { DATABASE_URL: `file:${dir}/users.json` },
      `${dir}/users.json-lock is held by process ${running.child.pid}; stop it first`,
    ],
  ] as const) {
    await t.rejects(start(env), { message }, JSON.stringify(env))
  }
})

t.test('a PostgreSQL without TLS, where the URL asks for it', NEEDS_POSTGRES, async (t) => {
  const { url, admin } = await createDatabase(t)
  const { rows } = await admin.query<{ ssl: string }>('show ssl')
  if (rows[0]?.ssl === 'on') return t.pass('this PostgreSQL has TLS')
  await t.rejects(start({ DATABASE_URL: `${url}?sslmode=require` }), {
    message:
      'cannot open the database: The server does not support SSL connections; turn it on there, or leave sslmode out of the URL',
  })
})
