import { spawnSync } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import t from 'tap'
import { BOB, LAST, post, raw } from './helper/http.ts'
import { ROOT, startServer } from './helper/program.ts'

const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g

t.test('the curl session prints what the README shows', async (t) => {
  const readme = await readFile(`${ROOT}/README.md`, 'utf8')
  const session = /^## A session with curl\n\n```console\n(.*?)```$/ms.exec(readme)?.[1] ?? ''
  const steps = session.split(/^\$ /m).slice(1)
  t.equal(steps.length, 10)
  const { port } = await startServer(t)
  /** From the README's tokens to the ones of this run. */
  const tokens = new Map<string, string>()
  for (const step of steps) {
    const [command = '', ...lines] = step.replaceAll('localhost:5000', `127.0.0.1:${port}`).split('\n')
    const actual = command.replaceAll(UUID, (token) => tokens.get(token) ?? token)
    const { stdout } = spawnSync('sh', ['-c', actual.replace('curl', 'curl -sS')], { encoding: 'utf8' })
    const shown = lines.join('\n')
    const received = stdout.replaceAll('\r', '').replace(/^Date: .*/m, /^Date: .*/m.exec(shown)?.[0] ?? '')
    const inReadme = shown.match(UUID) ?? []
    for (const [i, token] of (received.match(UUID) ?? []).entries()) tokens.set(inReadme[i] ?? '', token)
    t.equal(
      received,
      shown.replaceAll(UUID, (token) => tokens.get(token) ?? token),
      command,
    )
  }
  t.equal(tokens.size, 2)
})

t.test('the command that counts failed logins counts each, however its path is written', async (t) => {
  const server = await startServer(t)
  const logins = ['/sessions', '//sessions/', '/login/?a', 'http://x/sessions'].map((path) => post(path, BOB))
  await raw(server.port, ...logins, post('/login', BOB).replace('HTTP/1.1', 'HTTP/1.0'))
  await raw(server.port, post('/users', {}), LAST)
  await server.stop()
  const readme = await readFile(`${ROOT}/README.md`, 'utf8')
  const command = /^journalctl -u user-auth -o cat \| (.*)$/m.exec(readme)?.[1] ?? ''
  const { stdout } = spawnSync('sh', ['-c', command], { encoding: 'utf8', input: server.stdout })
  t.match(stdout, /^ *5 127\.0\.0\.1\n$/)
})

t.test('the README of lib/db lists every file of the folder', async (t) => {
  const readme = await readFile(`${ROOT}/lib/db/README.md`, 'utf8')
  const listed = [...readme.matchAll(/^\| `([\w-]+\.ts)` +\|/gm)].map(([, name]) => name)
  const files = (await readdir(`${ROOT}/lib/db`)).filter((name) => name.endsWith('.ts'))
  t.strictSame(listed.sort(), files.sort())
})
