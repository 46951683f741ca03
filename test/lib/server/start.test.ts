/** What keeps the service from starting, and what it says when it has. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { networkInterfaces } from 'node:os'
import t from 'tap'
import { Auth } from '../../../auth.ts'
import { listen, summary } from '../../../lib/server/start.ts'
import { readConfig } from '../../../server.ts'
import { Program, ROOT, tempDir } from '../../helper/program.ts'

/** Root may listen on port 80 too, unless it gives up the capability. */
const UNPRIVILEGED = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-net_bind_service'] : []
/** The first port that anybody may listen on; in containers it is often 0. */
const PORT_START = '/proc/sys/net/ipv4/ip_unprivileged_port_start'
const IS_PORT_FOR_ALL = existsSync(PORT_START) && Number(readFileSync(PORT_START, 'utf8')) <= 80

t.test('what keeps the server from starting is one line, and exit code 1', async (t) => {
  const dir = tempDir(t)
  await writeFile(`${dir}/broken.json`, '{"users":[')
  for (const [env, line] of [
    [{ PORT: 'abc', DATABASE_URL: `file:${dir}/new.json` }, /^PORT=abc: expected an integer from 0 to 65535$/],
    [{ PORT: '0', DATABASE_URL: `file:${dir}/broken.json` }, /broken\.json/],
    [
      { PORT: '80', DATABASE_URL: `file:${dir}/new.json` },
      /^HOST=127\.0\.0\.1 PORT=80: listen EACCES: permission denied 127\.0\.0\.1:80; set HOST or PORT to something else$/,
    ],
  ] as const) {
    await t.test(env.PORT, { skip: env.PORT === '80' && IS_PORT_FOR_ALL && 'anybody may listen there' }, async (t) => {
      const program = new Program('server.ts', { HOST: '127.0.0.1', ...env }, [], [], UNPRIVILEGED)
      t.match(await program.exited, { code: 1 })
      t.match(program.stderr.trimEnd(), line)
      t.match(program.stampedErrors, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [^\n]+\n$/, 'one line, with the time')
    })
  }
  t.equal(await readFile(`${dir}/broken.json`, 'utf8'), '{"users":[')
  t.strictSame(readdirSync(dir), ['broken.json'], 'nothing is left behind')
})

t.test('where it listens, and where a browser finds it', async (t) => {
  const hasIPv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'))
  for (const [env, at, browser, needsIPv6 = false] of [
    [{ HOST: '127.0.0.1' }, 'http://127.0.0.1:\\d+', 'http://127.0.0.1:\\d+'],
    [{ HOST: '0.0.0.0' }, 'http://0.0.0.0:\\d+', 'http://localhost:\\d+'],
    [{ HOST: '::' }, 'http://\\[::\\]:\\d+', 'http://localhost:\\d+', true],
    [{ HOST: '::1' }, 'http://\\[::1\\]:\\d+', 'http://\\[::1\\]:\\d+', true],
    [
      { PUBLIC_URL: 'https://auth.example.com', COOKIE_SECURE: '1' },
      'http://localhost:\\d+',
      'https://auth.example.com',
    ],
  ] as const) {
    if (needsIPv6 && !hasIPv6) continue
    const server = createServer()
    const said = await listen(server, readConfig({ PORT: '0', ...env }))
    t.match(said, new RegExp(`^Listening on ${at}\nTo log in with a browser: ${browser}/login$`))
    server.close()
  }
  await t.rejects(listen(createServer(), readConfig({ PORT: '0', HOST: 'nowhere.invalid' })), {
    name: 'ValueError',
    message: /^HOST=nowhere\.invalid PORT=0: getaddrinfo \w+ nowhere\.invalid; set HOST or PORT to something else$/,
  })
})

t.test('without HOST it listens on every address', async (t) => {
  const env = { ...process.env, PORT: '0', DATABASE_URL: 'memory:' }
  Reflect.deleteProperty(env, 'HOST')
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), 'server.ts'], { cwd: ROOT, env })
  t.teardown(() => child.kill())
  const [line] = await once(child.stdout, 'data')
  const [, port = ''] = /^Listening on http:\/\/localhost:(\d+)\n/.exec(`${line}`) ?? []
  const hasIPv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'))
  for (const host of ['localhost', '127.0.0.1', ...(hasIPv6 ? ['[::1]'] : [])]) {
    t.equal((await fetch(`http://${host}:${port}/`)).status, 200, host)
  }
})

t.test('who gets the reset tokens, and how many users cannot log in, is said at the start', async (t) => {
  const { options } = new Auth({ databaseUrl: 'memory:' })
  const sent = readConfig({ RESET_WEBHOOK: 'http://mailer:secret@x' })
  t.match(summary(options, sent, 0, 0), /\nReset tokens are sent to RESET_WEBHOOK$/)
  t.match(summary(options, readConfig({}), 0, 0), /\nReset tokens are handed to anyone who asks; set RESET_WEBHOOK$/)
  t.match(summary(options, readConfig({}), 5, 3), /\nUsers whose hash is not bcrypt's, who cannot log in .*: 3$/)
  t.notMatch(summary(options, readConfig({}), 5, 0), /bcrypt's/)
})

t.test('started without its ending, as .js, or by the script of a process manager, it starts', async (t) => {
  const manager = `${tempDir(t)}/manager.mjs`
  await writeFile(
    manager,
    "import { pathToFileURL } from 'node:url'\nimport(pathToFileURL(process.env.pm_exec_path))\n",
  )
  for (const [script, variables] of [
    ['server', {}],
    ['./server.js', {}],
    [manager, { pm_exec_path: `${ROOT}server.ts` }],
  ] as const) {
    const env = { ...process.env, ...variables, HOST: '127.0.0.1', PORT: '0', DATABASE_URL: 'memory:' }
    const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), script], { cwd: ROOT, env })
    t.teardown(() => child.kill())
    const [line] = await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
    t.match(`${line}`, /^Listening on /, script)
  }
})
