/** Starts that are refused, and the lines that the service prints when it has started. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { networkInterfaces } from 'node:os'
import t from 'tap'
import { listen, summary, stampErrors } from '../../../lib/server/start.ts'
import { readConfig } from '../../../server.ts'
import { listen as listenOn, portOf, request } from '../../helper/http.ts'
import { connectTo, createDatabase, NEEDS_POSTGRES } from '../../helper/postgres.ts'
import { Program, ROOT, startedOtherwise, startServer, tempDir } from '../../helper/program.ts'
import { dbAt } from '../../helper/store.ts'

t.test('whatever keeps the server from starting is reported in one line, with exit code 1', async (t) => {
  const dir = tempDir(t)
  writeFileSync(`${dir}/broken.json`, '{"users":[')
  const other = createServer()
  t.teardown(() => other.close())
  for (const [PORT, name, line] of [
    ['abc', 'new', /^PORT=abc: expected an integer from 0 to 65535\n$/],
    ['0', 'broken', /^\S+broken\.json: not readable as JSON: [^\n]+\n$/],
    [`${await listenOn(other)}`, 'new', /^HOST=127\.0\.0\.1 PORT=\d+: listen EADDRINUSE: [^\n]+\n$/],
  ] as const) {
    const program = new Program('server.ts', { HOST: '127.0.0.1', PORT, DATABASE_URL: `file:${dir}/${name}.json` })
    t.match(await program.exited, { code: 1 })
    t.match(program.stderr, line)
    t.match(program.stampedErrors, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /, 'with the time')
  }
  t.equal(readFileSync(`${dir}/broken.json`, 'utf8'), '{"users":[')
  t.strictSame(readdirSync(dir), ['broken.json'], 'nothing is left behind')
})

t.test('a service starts on a table that takes the database too long to count', NEEDS_POSTGRES, async (t) => {
  const { url, name, admin } = await createDatabase(t)
  const db = dbAt(t, url)
  await db.addUser('bob@me.com', 'x')
  const sql = await connectTo(t, url)
  await sql.query(`create role ${name} login`)
  t.teardown(async () => {
    await sql.query(`drop owned by ${name}`)
    await admin.query(`drop role ${name}`)
  })
  await sql.query(`grant all on all tables in schema public to ${name}`)
  await sql.query(`grant all on all sequences in schema public to ${name}`)
  // The policy is run for each row that this role reads.
  await sql.query('alter table users enable row level security')
  await sql.query(`create policy slow on users to ${name} using (pg_sleep(60) is not null)`)
  const limited = Object.assign(new URL(url), { username: name, password: '' }).href
  const server = await startServer(t, { DATABASE_URL: limited })
  await server.printed(/^Users: \? in postgres:/m)
  t.match(server.stderr, /^the database: canceling statement due to statement timeout$/m)
  t.match(await request(server.url, 'GET'), { status: 200 })
})

const HAS_IPV6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'))

t.test('the first lines say where it listens, and where to log in with a browser', async (t) => {
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
    if (needsIPv6 && !HAS_IPV6) continue
    const server = createServer()
    const said = await listen(server, readConfig({ PORT: '0', ...env }))
    t.match(said, new RegExp(`^Listening on ${at}\nTo log in with a browser: ${browser}/login$`))
    server.close()
  }
  for (const [HOST, reason] of [
    ['nowhere.invalid', 'getaddrinfo \\w+ nowhere\\.invalid'],
    ['192.0.2.1', 'listen EADDRNOTAVAIL: address not available 192\\.0\\.2\\.1'],
  ] as const) {
    const message = new RegExp(`^HOST=${HOST} PORT=0: ${reason}; set HOST or PORT to something else$`)
    await t.rejects(listen(createServer(), readConfig({ HOST, PORT: '0' })), { name: 'ValueError', message })
  }
})

t.test('without HOST it listens on every address', async (t) => {
  const server = createServer((_request, response) => response.end())
  t.teardown(() => server.close().closeAllConnections())
  await listen(server, readConfig({ PORT: '0' }))
  for (const host of ['localhost', '127.0.0.1', ...(HAS_IPV6 ? ['[::1]'] : [])]) {
    t.equal((await fetch(`http://${host}:${portOf(server)}/`)).status, 200, host)
  }
})

t.test('the start says who gets the reset tokens, and how many users cannot log in', async (t) => {
  const sent = readConfig({ RESET_WEBHOOK: 'http://mailer:secret@x' })
  t.equal(summary('memory:', sent, 0, 0), 'Users: 0 in memory:\nReset tokens are sent to RESET_WEBHOOK')
  t.match(summary('memory:', readConfig({}), 0, 0), /\nReset tokens are handed to anyone who asks; set RESET_WEBHOOK$/)
  const foreign = summary('memory:', readConfig({}), 5, 3)
  t.match(foreign, /\nUsers who must reset their password to log in, .* not bcrypt's: 3$/)
  t.notMatch(summary('memory:', readConfig({}), 5, 0), /bcrypt's/)
})

t.test('started without its extension, as .js, or by the script of a process manager, it starts', async (t) => {
  for (const [script, variables] of startedOtherwise(t, 'server')) {
    const env = { ...process.env, ...variables, HOST: '127.0.0.1', PORT: '0', DATABASE_URL: 'memory:' }
    const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), script], { cwd: ROOT, env })
    t.teardown(() => child.kill())
    const [line] = await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
    t.match(`${line}`, /^Listening on /, script)
  }
})

t.test('npm start says in one line that node is too old, or that too few files may be open', async (t) => {
  const { scripts }: { scripts: { prestart: string } } = JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8'))
  const bin = tempDir(t)
  const check = (version: string, files = 100) => {
    writeFileSync(`${bin}/node`, `#!/bin/sh\necho ${version}\n`, { mode: 0o755 })
    const PATH = `${bin}:${process.env['PATH']}`
    const script = `ulimit -n ${files}; ${scripts.prestart}`
    const { status, stderr } = spawnSync('sh', ['-c', script], { env: { PATH }, encoding: 'utf8' })
    return `${status} ${stderr}`
  }
  for (const version of ['v18.20.8', 'v8.9.0', 'v20.9.0', 'v20.11.1']) {
    t.equal(check(version), `1 node ${version} is too old: the service needs 20.12 or newer\n`)
  }
  for (const version of ['v20.12.0', 'v20.20.2', 'v22.18.0', 'v26.0.0']) t.equal(check(version), '0 ')
  t.match(check('v24.0.0', 99), /^1 ulimit -n is 99: the service needs at least 100 open files, .*\n$/)
})

t.test('a line of stderr begins with the time, and is dropped while too many wait for a reader', async (t) => {
  const { error } = console
  const printed: unknown[][] = []
  console.error = (...parts) => void printed.push(parts)
  t.teardown(() => (console.error = error))
  stampErrors()
  console.error('one')
  Object.defineProperty(process.stderr, 'writableLength', { value: 2 ** 21, configurable: true })
  console.error('two')
  Reflect.deleteProperty(process.stderr, 'writableLength')
  t.match(printed, [[/^\d{4}-\d\d-\d\dT/, 'one']])
  t.equal(printed.length, 1)
})
