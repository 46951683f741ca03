/**
 * Runs the service under each runtime of this folder, without a build: `npm ci --prefix test/runtimes`, then
 * `node --import tsx test/runtimes/run.ts`. Prints a line for each runtime and check, and exits with 1 if the service
 * does not start, fails main.ts or a test, does not stop cleanly, or loses its user.
 */
import { deepEqual, equal } from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { raw, request } from '../helper/http.ts'
import { Program, ROOT } from '../helper/program.ts'

/** A runtime: where its program is, and what comes before the name of the file to run. */
type Runtime = { name: string; program: string; args: string[] }

/** Not the programs in `node_modules/.bin`: deno's is a script that passes no signal on. node 20 strips no types. */
const RUNTIMES: Runtime[] = [
  { name: 'node', program: 'node20/bin/node', args: ['--import', 'tsx'] },
  { name: 'node', program: 'node22/bin/node', args: [] },
  { name: 'node', program: 'node24/bin/node', args: [] },
  { name: 'node', program: 'node26/bin/node', args: [] },
  { name: 'deno', program: 'deno/deno', args: ['run', '-A'] },
  { name: 'bun', program: 'bun/bin/bun.exe', args: [] },
]

/** The tests that start the service or main.ts, which then run on another runtime; tap itself runs on node only. */
const PROGRAM_TESTS = ['test/main.test.ts', 'test/readme.test.ts', 'test/groups/tasks.ts']
/** The tests directly in test/; `layers.test.ts` is about the project, not the service. */
const TESTS = readdirSync(join(ROOT, 'test'))
  .filter((name) => name.endsWith('.test.ts') && name !== 'layers.test.ts')
  .map((name) => `test/${name}`)

/** How long a program may run. */
const PROGRAM_TIMEOUT_MS = 60_000
/** How long the tests may run. */
const TESTS_TIMEOUT_MS = 300_000
/** How long an answer may take. */
const ANSWER_TIMEOUT_MS = 5000

/** The user of main.ts, and the password that main.ts leaves it with. */
const USER = { email: 'guillaume@holberton.io', password: 't4rt1fl3tt3' }

/** The last headers of a request after which the server closes. */
const CLOSE = 'Host: x\r\nConnection: close\r\n'
/** Requests whose answers are compared with node's, as each runtime has an HTTP parser of its own. */
const REQUESTS = new Map([
  ['404', `GET /nope HTTP/1.1\r\n${CLOSE}\r\n`],
  ['413', `POST /users HTTP/1.1\r\n${CLOSE}Content-Type: application/json\r\nContent-Length: 20000\r\n\r\n`],
  ['not HTTP', 'rubbish\r\n\r\n'],
  ['OPTIONS *', `OPTIONS * HTTP/1.1\r\n${CLOSE}\r\n`],
])

/** The programs started under a runtime; any that a failed check has left running are killed. */
const programs: Program[] = []

/** Prints the outcome of a check. */
type Say = (check: string, outcome: string) => void

/** The path of a runtime's program. */
function programOf(runtime: Runtime): string {
  return join(ROOT, 'test/runtimes/node_modules', runtime.program)
}

/** Runs a file of the project with a runtime; it is killed if it hangs. */
function run(runtime: Runtime, file: string, env: Record<string, string>): Program {
  const program = new Program([programOf(runtime), ...runtime.args, file], { NO_COLOR: '1', ...env })
  programs.push(program)
  void delay(PROGRAM_TIMEOUT_MS, undefined, { ref: false }).then(() => program.child.kill('SIGKILL'))
  return program
}

/** Starts the server; resolves with it and its address when it listens. */
async function start(runtime: Runtime, env: Record<string, string>): Promise<{ server: Program; url: string }> {
  const server = run(runtime, 'server.ts', env)
  const [url] = await server.printed(/http:\/\/\S+:\d+(?=\s)/)
  return { server, url }
}

/** Stops the server as systemd does, and checks that it ends well and leaves one file, with one user on one line. */
async function stop(server: Program, directory: string): Promise<void> {
  const code = await server.stop()
  equal(code, 0, `exit code ${code} at the stop: ${server.stderr}`)
  deepEqual(readdirSync(directory), ['users.json'], `left behind: ${readdirSync(directory).join(' ')}`)
  const [, row = '', end] = readFileSync(join(directory, 'users.json'), 'utf8').split('\n')
  equal(end, '],"last_id":1}', 'more or less than one user')
  equal(JSON.parse(row).email, USER.email)
}

/** The answers to each of the requests. */
async function answers(url: string): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (const [name, bytes] of REQUESTS) {
    const received = raw(Number(new URL(url).port), bytes)
    const none = delay(ANSWER_TIMEOUT_MS, 'the answer did not end', { ref: false })
    found.set(name, (await Promise.race([received, none])).replace(/\r\nDate: .*/, ''))
  }
  return found
}

/** Runs the tests that a runtime can run; returns their last line, and throws when one fails. */
function test(runtime: Runtime): string {
  const program = programOf(runtime)
  const isNode = runtime.name === 'node'
  const { status, stdout, stderr } = spawnSync(
    isNode ? program : process.execPath,
    ['--import', 'tsx', 'test/run.ts', ...(isNode ? TESTS : PROGRAM_TESTS)],
    {
      cwd: ROOT,
      encoding: 'utf8',
      timeout: TESTS_TIMEOUT_MS,
      env: isNode ? process.env : { ...process.env, TEST_RUNTIME: [program, ...runtime.args].join(' ') },
    },
  )
  if (status !== 0) {
    console.log(`${stdout}${stderr}`)
    throw new Error('a test failed')
  }
  return stdout.trimEnd().split('\n').at(-1) ?? ''
}

/** Puts a runtime through the essentials, and throws at the first that fails; returns its answers to the requests. */
async function check(runtime: Runtime, directory: string, say: Say): Promise<Map<string, string>> {
  const store = {
    DATABASE_URL: `file:${join(directory, 'users.json')}`,
    BCRYPT_COST: '4',
    HOST: '127.0.0.1',
    PORT: '0',
  }
  const first = await start(runtime, store)
  say('start', 'ok')
  const main = run(runtime, 'main.ts', { BASE_URL: first.url })
  const { code } = await main.exited
  const printed = main.stdout + main.stderr
  deepEqual({ code, printed }, { code: 0, printed: '' }, `exit code ${code} of main.ts: ${printed}`)
  say('main.ts', 'ok')
  const found = await answers(first.url)
  await stop(first.server, directory)
  say('stop', 'ok')
  const second = await start(runtime, store)
  equal((await request(`${second.url}/users`, 'POST', USER)).status, 400, 'registered once more')
  equal((await request(`${second.url}/sessions`, 'POST', USER)).status, 200, 'cannot log in')
  await stop(second.server, directory)
  say('restart', 'ok')
  return found
}

let reference: Map<string, string> | undefined
for (const runtime of RUNTIMES) {
  const directory = mkdtempSync(join(tmpdir(), 'runtime-'))
  let label = runtime.name
  const say: Say = (check, outcome) => console.log(`${label.padEnd(13)} ${check.padEnd(9)} ${outcome}`)
  try {
    const version = execFileSync(programOf(runtime), ['--version'], { encoding: 'utf8' })
    label += ` ${/\d+\.\d+\.\d+/.exec(version)?.[0]}`
    const found = await check(runtime, directory, say)
    reference ??= found
    for (const [name, answer] of found) {
      const [head = '', body = ''] = answer.split('\r\n\r\n')
      const difference = answer === reference.get(name) ? '' : '(unlike node)'
      say(name, [head.split('\r\n', 1), body.trim(), difference].join(' ').trim())
    }
    say('tests', test(runtime))
  } catch (error) {
    say('FAILED', String(error).replace(/\s+/g, ' '))
    process.exitCode = 1
  }
  for (const { child } of programs.splice(0)) child.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
}
