import { spawnSync } from 'node:child_process'
import { createServer } from 'node:http'
import t from 'tap'
import { listen } from './helper/http.ts'
import { Program, requireFromCommonJs, startServer, tempDir } from './helper/program.ts'
import { startService } from './helper/service.ts'

t.jobs = 2

t.test('it prints nothing on success; BASE_URL and PORT name the server', async (t) => {
  for (const name of ['BASE_URL', 'PORT'] as const) {
    const { url, port } = await startService(t)
    const program = new Program('main.ts', { BASE_URL: '', [name]: name === 'PORT' ? String(port) : url })
    t.strictSame(await program.exited, { code: 0, signal: null })
    t.equal(program.stdout + program.stderr, '')
  }
})

t.test('the advice after a second run works, even when the server was killed in between', async (t) => {
  const directory = tempDir(t)
  const DATABASE_URL = `file:${directory}/users.json`
  const killed = await startServer(t, { DATABASE_URL })
  t.match(await new Program('main.ts', { BASE_URL: killed.url }).exited, { code: 0 })
  await killed.stop('SIGKILL')

  const second = await startServer(t, { DATABASE_URL })
  const program = new Program('main.ts', { BASE_URL: second.url })
  t.match(await program.exited, { code: 1 })
  t.match(program.stderr, /^registerUser: expected 200, got 400: guillaume@holberton.io is registered already.*\n$/)
  await second.stop('SIGKILL')

  const advised = /rm users\.json\*/.exec(program.stderr)?.[0] ?? 'false'
  t.equal(spawnSync('sh', ['-c', advised], { cwd: directory }).status, 0)
  const third = await startServer(t, { DATABASE_URL })
  t.match(await new Program('main.ts', { BASE_URL: third.url }).exited, { code: 0 })
})

t.test('without a server, it says where it looked', async (t) => {
  for (const url of ['http://127.0.0.1:1', 'nonsense']) {
    const program = new Program('main.ts', { BASE_URL: url })
    t.match(await program.exited, { code: 1 })
    t.match(program.stderr, new RegExp(`^no server at ${url} .*npm start, or set BASE_URL or PORT\n$`))
  }
})

t.test('--help says what it does, and does nothing', async (t) => {
  for (const option of ['--help', '-h']) {
    const program = new Program('main.ts', { BASE_URL: 'http://127.0.0.1:1' }, [], [option])
    t.match(await program.exited, { code: 0 })
    t.match(program.stdout, /register.*npm run -s main.*BASE_URL.*http:\/\/127\.0\.0\.1:1\)\.\n$/s)
  }
})

t.test('an import runs nothing and brings the eight functions, also from CommonJS', async (t) => {
  const names = [
    'logIn',
    'logInWrongPassword',
    'logOut',
    'profileLogged',
    'profileUnlogged',
    'registerUser',
    'resetPasswordToken',
    'updatePassword',
  ]
  t.strictSame(Object.keys(await import('../main.ts')).sort(), names)
  // It has no server to run against, so that a run would print a line.
  t.strictSame(requireFromCommonJs(t, 'main.ts'), { exports: names, stderr: '' })
})

t.test('of a wrong answer it says which step expected what and got what', async (t) => {
  /** What the server answers to each step in turn; the last one wrongly. */
  const right: [number, string, Record<string, string>?][] = [
    [200, '{"email":"guillaume@holberton.io","message":"user created"}'],
    [401, ''],
    [403, ''],
    [200, '{"message":"logged in","email":"guillaume@holberton.io"}', { 'Set-Cookie': 'session_id=s' }],
    [200, '{"email":"guillaume@holberton.io"}'],
    [302, '', { Location: '/' }],
    [200, '{"email":"guillaume@holberton.io","reset_token":"r"}'],
  ]
  const cases = [
    [0, [500, 'oh no'], /^registerUser: expected 200 \{.*\}, got 500 oh no\n$/],
    [0, [200, 'oh no'], /^registerUser: expected 200 \{.*\}, got 200 oh no\n$/],
    [1, [200, ''], /^logInWrongPassword: expected 401, got 200/],
    [3, [200, '{"email":"guillaume@holberton.io","message":"logged in"}'], /^logIn: expected a session_id cookie/],
    [4, [200, '{"email":"other"}'], /^profileLogged: expected 200 \{.*\}, got 200 \{"email":"other"\}\n$/],
    [5, [302, '', { Location: '/x' }], /^logOut: expected Location: \/, got \/x\n$/],
    [6, [200, '{}'], /^resetPasswordToken: expected 200/],
    [7, [403, '{}'], /^updatePassword: expected 200/],
  ] as const
  const check = async ([steps, wrong, line]: (typeof cases)[number]) => {
    const answers = [...right.slice(0, steps), wrong]
    const server = createServer((_request, response) => {
      const [status, body, headers] = answers.shift() ?? [500, '']
      response.writeHead(status, headers).end(body)
    })
    const program = new Program('main.ts', { BASE_URL: `http://127.0.0.1:${await listen(server)}` })
    t.match(await program.exited, { code: 1 })
    t.match(program.stderr, line)
    server.close()
  }
  for (let i = 0; i < cases.length; i += 3) await Promise.all(cases.slice(i, i + 3).map(check))
})
