/** Programs that import the classes: the READMEs' examples, with only bcrypt cost and ports changed, and two more. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import t from 'tap'
import { DB } from '../db.ts'
import { request, sessionOf } from './helper/http.ts'
import { startMailer } from './helper/mailer.ts'
import { Program, ROOT, runScript, tempDir } from './helper/program.ts'

const examples = ['README.md', 'lib/README.md'].flatMap((name) => [
  ...readFileSync(ROOT + name, 'utf8').matchAll(/^```ts\n(.*?)^```$/gms),
])
const [authAlone = '', dbAlone = '', besideAnother = '', ...others] = examples.map(([, example = '']) => example)

/** Writes a program with a low bcrypt cost into a directory, with this package there as npm would link it. */
function write(directory: string, source: string): string {
  mkdirSync(`${directory}/node_modules`)
  symlinkSync(ROOT, `${directory}/node_modules/user-authentication-service`)
  const path = `${directory}/program.mts`
  writeFileSync(path, source.replaceAll('new Auth({ ', 'new Auth({ bcryptCost: 4, '))
  return path
}

/** Runs a program until it ends by itself. */
function run(directory: string, source: string) {
  const args = ['--import', import.meta.resolve('tsx'), write(directory, source)]
  // With another tsconfig.json, or none, tsx compiles the modules differently, which would spoil their coverage.
  const env = { ...process.env, TSX_TSCONFIG_PATH: `${ROOT}tsconfig.json` }
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { cwd: directory, encoding: 'utf8', env })
  return { stdout, stderr, status }
}

t.test('the READMEs have the examples that are run here', async (t) => {
  t.match(authAlone, /new Auth\(/)
  t.match(dbAlone, /new DB\(/)
  t.match(besideAnother, /createService\(/)
  t.strictSame(others, [])
})

for (const [name, example] of Object.entries({ Auth: authAlone, DB: dbAlone })) {
  t.test(`${name} alone prints what the README says`, async (t) => {
    const printed = [...example.matchAll(/console\.log\(.*\) \/\/ (.*)$/gm)].map(([, text]) => `${text}\n`)
    t.equal(printed.length, 2)
    t.strictSame(run(tempDir(t), example), { stdout: printed.join(''), stderr: '', status: 0 })
  })
}

t.test('another server in the same program shares the sessions of the service', async (t) => {
  const ports = `
    import { once } from 'node:events'
    await Promise.all([service, app].map((server) => server.listening || once(server, 'listening')))
    console.log([service, app].map((server) => Object(server.address()).port).join(' '))`
  const source = besideAnother.replaceAll(/\.listen\(\d+\)/g, `.listen(0, '127.0.0.1')`)
  const program = new Program(relative(ROOT, write(tempDir(t), source + ports)), {})
  t.teardown(() => program.child.kill('SIGKILL'))
  const [, service = '', app = ''] = await program.printed(/^(\d+) (\d+)\n/)
  const bob = { email: 'bob@bob.com', password: 'mySuperPwd' }
  await request(`http://127.0.0.1:${service}/users`, 'POST', bob)
  const session = sessionOf(await request(`http://127.0.0.1:${service}/sessions`, 'POST', bob))
  const get = (cookie: string) => fetch(`http://127.0.0.1:${app}/`, { headers: { cookie } })
  t.equal(await (await get(`a=b; session_id=${session}`)).text(), 'Hello bob@bob.com\n')
  t.equal((await get('session_id=x')).status, 403)
  t.equal(await program.stop(), 0, 'it ends once the servers and the store are closed')
  t.equal(program.stderr, '')
})

t.test('a program can wait for the mails that its service still has to send', async (t) => {
  const mailer = await startMailer(t)
  const source = `
    import { once } from 'node:events'
    import { Auth } from 'user-authentication-service/auth'
    import { createService, Webhook } from 'user-authentication-service/server'
    const auth = new Auth({ databaseUrl: 'memory:' })
    await auth.registerUser('bob@bob.com', 'x')
    const webhook = new Webhook(auth, '${mailer.url}')
    const service = createService({ auth, webhook, config: { accessLog: false } }).listen(0, '127.0.0.1')
    await once(service, 'listening')
    const body = new URLSearchParams({ email: 'bob@bob.com' })
    await fetch('http://127.0.0.1:' + service.address().port + '/reset_password', { method: 'POST', body })
    await new Promise((resolve) => service.close(resolve))
    await webhook.settled()
    await auth.close()`
  const program = new Program(relative(ROOT, write(tempDir(t), source)), {})
  t.match(await program.exited, { code: 0 })
  t.match(mailer.received, [{ email: 'bob@bob.com' }])
})

t.test('a script that never calls close() ends by itself and has lost nothing', async (t) => {
  const path = `${tempDir(t)}/users.json`
  const program = runScript(`
    import { Auth } from './auth.ts'
    const auth = new Auth({ databaseUrl: 'file:${path}', bcryptCost: 4, loginFailures: 0 })
    for (const name of ['a', 'b', 'c']) await auth.registerUser(name + '@me.com', 'x')
    await auth.createSession('b@me.com')`)
  t.match(await program.exited, { code: 0 })
  t.equal(program.stdout + program.stderr, '')
  const db = new DB(`file:${path}`)
  t.equal(await db.countUsers(), 3)
  t.match(await db.findUserBy({ id: 2 }), { email: 'b@me.com', session_id: /^[0-9a-f]{64}$/ })
  await db.close()
})
