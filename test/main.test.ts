import { createServer } from 'node:http'
import { once } from 'node:events'
import t from 'tap'
import { Program, startServer } from './helper/program.ts'

t.test('silent on success; a second run says why it cannot', async (t) => {
  const { url } = await startServer(t)
  const first = new Program('main.ts', { BASE_URL: url })
  t.strictSame(await first.exited, { code: 0, signal: null })
  t.equal(first.stdout + first.stderr, '')
  const second = new Program('main.ts', { BASE_URL: url })
  t.match(await second.exited, { code: 1 })
  t.match(second.stderr, /^registerUser: expected 200, got 400: guillaume@holberton.io is registered already.*\n$/)
})

t.test('no server', async (t) => {
  for (const url of ['http://127.0.0.1:1', 'nonsense']) {
    const program = new Program('main.ts', { BASE_URL: url })
    t.match(await program.exited, { code: 1 })
    t.match(program.stderr, new RegExp(`^no server at BASE_URL=${url} .*npm start\n$`))
  }
})

t.test('a server that answers wrongly: the step, what was expected, what came', async (t) => {
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
  for (const [steps, wrong, line] of [
    [0, [500, 'oh no'], /^registerUser: expected 200 \{.*\}, got 500 oh no\n$/],
    [1, [200, ''], /^logInWrongPassword: expected 401, got 200/],
    [3, [200, '{"email":"guillaume@holberton.io","message":"logged in"}'], /^logIn: expected a session_id cookie/],
    [4, [200, '{"email":"other"}'], /^profileLogged: expected 200 \{.*\}, got 200 \{"email":"other"\}\n$/],
    [5, [302, '', { Location: '/x' }], /^logOut: expected Location: \/, got \/x\n$/],
    [6, [200, '{}'], /^resetPasswordToken: expected 200/],
    [7, [403, '{}'], /^updatePassword: expected 200/],
  ] as const) {
    const answers = [...right.slice(0, steps), wrong]
    const server = createServer((_request, response) => {
      const [status, body, headers] = answers.shift() ?? [500, '']
      response.writeHead(status, headers).end(body)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const program = new Program('main.ts', { BASE_URL: `http://127.0.0.1:${port}` })
    t.match(await program.exited, { code: 1 })
    t.match(program.stderr, line)
    server.close()
  }
})
