import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { run } from '../main.ts'
import { listen } from './helper/http.ts'
import { Program, ROOT, RUNTIME, startedOtherwise, startServer, tempDir } from './helper/program.ts'
import { startService } from './helper/service.ts'

t.test('main.ts prints nothing on success, with the server on PORT', async (t) => {
  const { port } = await startService(t)
  const program = new Program('main.ts', { BASE_URL: '', PORT: String(port) })
  t.strictSame(await program.exited, { code: 0, signal: null })
  t.equal(program.stdout + program.stderr, '')
})

t.test('started without its extension, as .js, or by the script of a process manager, it runs', async (t) => {
  const [runtime = '', ...options] = RUNTIME
  for (const [script, variables] of startedOtherwise(t, 'main')) {
    // Deno finds a script only by its full name.
    if (runtime.includes('deno') && script.startsWith('./')) continue
    const env = { ...process.env, BASE_URL: 'nonsense', ...variables }
    const child = spawn(runtime, [...options, script], { cwd: ROOT, env })
    const exited = once(child, 'exit')
    t.match(await text(child.stderr), /^no server at nonsense /, script)
    t.strictSame(await exited, [1, null])
  }
})

t.test('the advice after a second run works, even when the server was killed in between', async (t) => {
  const directory = tempDir(t)
  const DATABASE_URL = `file:${directory}/users.json`
  const killed = await startServer(t, { DATABASE_URL })
  await run(killed.url)
  await killed.stop('SIGKILL')

  const second = await startServer(t, { DATABASE_URL })
  const program = new Program('main.ts', { BASE_URL: second.url })
  t.match(await program.exited, { code: 1 })
  t.match(program.stderr, /^registerUser: expected 200, got 400: guillaume@holberton.io is registered already.*\n$/)
  await second.stop('SIGKILL')

  const advised = /rm users\.json\*/.exec(program.stderr)?.[0] ?? 'false'
  t.equal(spawnSync('sh', ['-c', advised], { cwd: directory }).status, 0)
  await run((await startServer(t, { DATABASE_URL })).url)
})

t.test('without a server, it says where it looked and what was wrong', async (t) => {
  const hint = 'start one with npm start, or set BASE_URL or PORT'
  await t.rejects(run('nonsense'), { message: `no server at nonsense (Invalid URL): ${hint}` })
  const server = createServer()
  const url = `http://127.0.0.1:${await listen(server)}`
  await once(server.close(), 'close')
  await t.rejects(run(url), { message: new RegExp(`^no server at ${url} \\(.*ECONNREFUSED.*\\): ${hint}$`) })
})

t.test('--help says what it does, and does nothing', async (t) => {
  for (const option of ['--help', '-h']) {
    const program = new Program('main.ts', { BASE_URL: 'http://127.0.0.1:1' }, [], [option])
    t.match(await program.exited, { code: 0 })
    t.match(program.stdout, /register.*npm run -s main.*BASE_URL.*http:\/\/127\.0\.0\.1:1\)\.\n$/s)
  }
})

t.test('after a wrong answer it says which step expected what and got what', async (t) => {
  /** The right answers to the steps, in order; each case has the first few of them, and then a wrong one. */
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
    [0, [500, 'oh no'], /^registerUser: expected 200 \{.*\}, got 500 oh no$/],
    [0, [200, 'oh no'], /^registerUser: expected 200 \{.*\}, got 200 oh no$/],
    [1, [200, ''], /^logInWrongPassword: expected 401, got 200/],
    [3, [200, '{"email":"guillaume@holberton.io","message":"logged in"}'], /^logIn: expected a session_id cookie/],
    [4, [200, '{"email":"other"}'], /^profileLogged: expected 200 \{.*\}, got 200 \{"email":"other"\}$/],
    [5, [302, '', { Location: '/x' }], /^logOut: expected Location: \/, got \/x$/],
    [6, [200, '{}'], /^resetPasswordToken: expected 200/],
    [7, [403, '{}'], /^updatePassword: expected 200/],
  ] as const
  for (const [steps, wrong, message] of cases) {
    const answers = [...right.slice(0, steps), wrong]
    const server = createServer((_request, response) => {
      const [status, body, headers] = answers.shift() ?? [500, '']
      response.writeHead(status, headers).end(body)
    })
    await t.rejects(run(`http://127.0.0.1:${await listen(server)}`), { message })
    server.close()
  }
})
