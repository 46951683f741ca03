/** The promises of "Running it" in the README: the backup, and the other files in this folder. */
import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { DB } from '../../db.ts'
import { freePort, request, sessionOf } from '../helper/http.ts'
import { smallDisk } from '../helper/disk.ts'
import { createDatabase, NEEDS_POSTGRES } from '../helper/postgres.ts'
import { Program, ROOT, startServer, tempDir } from '../helper/program.ts'
import { NGINX, startNginx, temporaryPaths } from '../helper/proxies.ts'
import { dbAt, log, row, table, writeStore } from '../helper/store.ts'

const HERE = join(ROOT, 'test/running')

t.test('a backup while the service writes has every user that was acknowledged before', async (t) => {
  const path = `${tempDir(t)}/users.json`
  const db = new DB(`file:${path}`)
  const acknowledged: string[] = []
  let isWriting = true
  /** The inodes that the table has had: a fold puts another file in its place. */
  const tables = new Set<number | undefined>()
  const writers = Array.from({ length: 100 }, async (_, writer) => {
    for (let i = 0; isWriting; i++) {
      const email = `${writer}-${i}@me.com`
      const { id } = await db.addUser(email, 'x'.repeat(250))
      await db.updateUser(id, { session_id: `s-${email}` })
      acknowledged.push(email)
      tables.add(statSync(path, { throwIfNoEntry: false })?.ino)
    }
  })
  while (acknowledged.length < 200) await new Promise(setImmediate)
  for (let round = 0; round < 3; round++) {
    const before = [...acknowledged]
    const copy = tempDir(t)
    await promisify(execFile)(`${HERE}/backup.sh`, [path, `${copy}/new`])
    const restored = new DB(`file:${copy}/new/users.json`)
    for (const email of before) {
      const { session_id } = await restored.findUserBy({ email })
      if (session_id !== `s-${email}`) t.fail(`${email} has an older session`)
    }
    t.ok(before.length > 0, `${before.length} users are in copy ${round}`)
    await restored.close()
  }
  isWriting = false
  await Promise.all(writers)
  t.ok(tables.size > 1, 'there were folds')
  await db.close()
})

const { disk, options: needsDisk } = smallDisk(t, '64k')
t.test('a backup that cannot be made deletes neither the one before it nor the table', needsDisk, async (t) => {
  const [live, copy] = [tempDir(t), `${disk}/copy`]
  const path = `${live}/users.json`
  const backUp = (...args: string[]) => spawnSync(`${HERE}/backup.sh`, args, { encoding: 'utf8' })
  writeFileSync(path, 'x'.repeat(100_000))
  t.match(backUp(path, copy), { status: 1, stderr: /^cp: .*No space left on device\n$/ })
  t.strictSame(readdirSync(copy), [])
  writeFileSync(path, '{"users":[]}')
  t.match(backUp(path, copy), { status: 0, stderr: '' })
  symlinkSync(path, `${copy}/link.json`)
  writeFileSync(`${live}/large.json`, 'x'.repeat(100_000))
  t.match(backUp(`${live}/large.json`, copy), { status: 1, stderr: /No space left/ })
  t.match(backUp(`${path}.no`, copy), { status: 1, stderr: `${path}.no: no such table\n` })
  for (const table of [path, `${copy}/link.json`]) {
    const stderr = `${live}: the table itself is there; name another directory\n`
    t.match(backUp(table, live), { status: 1, stderr })
  }
  t.strictSame(readdirSync(copy), ['link.json', 'users.json'])
  for (const kept of [path, `${copy}/users.json`]) t.equal(readFileSync(kept, 'utf8'), '{"users":[]}')
})

t.test('an interrupted backup leaves the older one or the new one, and nothing else', async (t) => {
  for (const [program, left] of Object.entries({ cp: 'older', mv: 'newer' })) {
    const [bin, copy] = [tempDir(t), tempDir(t)]
    const signal = `#!/bin/sh\ntrap '' TERM\nkill -TERM 0\nexec /bin/${program} "$@"\n`
    writeFileSync(`${bin}/${program}`, signal, { mode: 0o755 })
    const path = `${tempDir(t)}/users.json`
    for (const content of ['older', 'newer']) {
      for (const end of ['', '-wal']) writeFileSync(`${path}${end}`, content)
      const PATH = `${content === 'newer' ? `${bin}:` : ''}${process.env['PATH']}`
      // A group of its own, which the signal reaches as a whole.
      await once(spawn(`${HERE}/backup.sh`, [path, copy], { env: { ...process.env, PATH }, detached: true }), 'exit')
    }
    const files = readdirSync(copy).map((name) => [name, readFileSync(join(copy, name), 'utf8')])
    t.strictSame(
      files,
      [
        ['users.json', left],
        ['users.json-wal', left],
      ],
      program,
    )
  }
})

t.test('a backup of a table that a link leads to has its log and its name', async (t) => {
  const [live, links, copy] = [tempDir(t), tempDir(t), tempDir(t)]
  writeFileSync(`${live}/users.json-wal`, log([row(1)]))
  symlinkSync(`${live}/users.json`, `${links}/link.json`)
  for (const table of [undefined, '{"users":[]}']) {
    if (table !== undefined) writeFileSync(`${live}/users.json`, table)
    t.match(spawnSync(`${HERE}/backup.sh`, [`${links}/link.json`, copy], { encoding: 'utf8' }), {
      status: 0,
      stderr: '',
    })
    t.equal(readFileSync(`${copy}/users.json-wal`, 'utf8'), log([row(1)]))
  }
})

t.test('a backup keeps the name of the table, so that its files can be put back', async (t) => {
  const [live, copy] = [tempDir(t), tempDir(t)]
  writeStore(t, { '': table(row(1)), '-wal': log([row(2)]) }, `${live}/people.json`)
  for (const round of [1, 2]) {
    t.equal(spawnSync(`${HERE}/backup.sh`, [`${live}/people.json`, copy]).status, 0)
    t.strictSame(readdirSync(copy), ['people.json', 'people.json-wal'], `round ${round}`)
  }
  const restored = dbAt(t, `file:${copy}/people.json`)
  t.equal(await restored.countUsers(), 2)
})

t.test('a backup begins again after a fold in the middle of it, also without GNU stat', async (t) => {
  const [path, bin, copy] = [`${tempDir(t)}/users.json`, tempDir(t), tempDir(t)]
  // The last has the rows after a fold, which happens right after the table was copied.
  writeStore(t, { '': table(row(1)), '-wal': log([row(2)]), '-folded': table(row(1), row(2)) }, path)
  const fold = `mv '${path}-folded' '${path}'; rm '${path}-wal'; : > '${path}-wal'`
  writeFileSync(`${bin}/cp`, `#!/bin/sh\n/bin/cp "$@"\n[ ! -e '${path}-folded' ] || { ${fold}; }\n`, { mode: 0o755 })
  writeFileSync(`${bin}/stat`, '#!/bin/sh\necho "stat: illegal option -- c" >&2; exit 1\n', { mode: 0o755 })
  const env = { ...process.env, PATH: `${bin}:${process.env['PATH']}` }
  await promisify(execFile)(`${HERE}/backup.sh`, [path, copy], { env })
  const restored = dbAt(t, `file:${copy}/users.json`)
  t.equal((await restored.findUserBy({ email: 'user2@me.com' })).id, 2)
})

t.test('a dump of the database can be restored into another one', NEEDS_POSTGRES, async (t) => {
  const [from, to] = [await createDatabase(t), await createDatabase(t)]
  const db = new DB(from.url)
  await db.addUser('a@b', 'x')
  await db.close()
  const dump = spawnSync('pg_dump', ['--table=users', '--no-owner', from.url], { encoding: 'utf8' })
  t.equal(dump.status, 0, dump.stderr)
  const restore = spawnSync('psql', ['-q', '-v', 'ON_ERROR_STOP=1', to.url], { input: dump.stdout, encoding: 'utf8' })
  t.equal(restore.status, 0, restore.stderr)
  const restored = dbAt(t, to.url)
  t.equal((await restored.findUserBy({ email: 'A@b' })).id, 1)
  t.equal((await restored.addUser('c@d', 'x')).id, 2, 'ids go on from there')
})

/** The directory of a node that runs TypeScript by itself, which the unit and the image need. */
const NODE = [dirname(process.execPath), join(ROOT, 'test/runtimes/node_modules/node22/bin')].find((directory) => {
  const { stdout } = spawnSync(`${directory}/node`, ['-p', 'process.features.typescript'], { encoding: 'utf8' })
  return stdout?.trim() === 'strip'
})
const NEEDS_NODE = { skip: NODE === undefined && 'no node 22.18: npm ci --prefix test/runtimes' }

/** Runs a file's command with no directory for temporary files; checks that it serves, and stops cleanly. */
async function serves(t: Test, directory: string, command: string[], env: Record<string, string>): Promise<void> {
  const port = await freePort()
  const program = new Program(
    command,
    {
      ...env,
      PATH: `${NODE}:${process.env['PATH']}`,
      NODE_OPTIONS: '',
      TMPDIR: '/dev/null',
      HOST: '127.0.0.1',
      PORT: `${port}`,
      BCRYPT_COST: '4',
    },
    [],
    [],
    ['env', '-C', directory],
  )
  t.teardown(() => program.child.kill('SIGKILL'))
  await program.printed(/listening on/i)
  const user = { email: 'a@b', password: 'p' }
  t.match(await request(`http://127.0.0.1:${port}/users`, 'POST', user), { status: 200 })
  t.equal(await program.stop(), 0, 'it stops cleanly')
}

t.test("the Dockerfile's files and command serve, without a directory for temporary files", NEEDS_NODE, async (t) => {
  const lines = readFileSync(`${HERE}/Dockerfile`, 'utf8').split('\n')
  const [app, data] = [tempDir(t), tempDir(t)]
  for (const line of lines) {
    const [instruction, ...files] = line.split(' ')
    const target = files.pop() ?? ''
    if (instruction === 'COPY')
      for (const file of files)
        cpSync(join(ROOT, file), join(app, target, file === 'lib' ? '' : file), { recursive: true })
  }
  symlinkSync(join(ROOT, 'node_modules'), `${app}/node_modules`)
  const command: string[] = JSON.parse(lines.find((line) => line.startsWith('CMD'))?.slice(4) ?? '[]')
  const environment = /^ENV (.*)$/m.exec(lines.join('\n'))?.[1]?.replace('/data/', `${data}/`) ?? ''
  await serves(t, app, command, Object.fromEntries(environment.split(' ').map((pair) => pair.split('='))))
  t.ok(existsSync(`${data}/users.json`))
})

t.test('the command that makes an account in a container works with REGISTRATION=local', async (t) => {
  const { port } = await startServer(t, { REGISTRATION: 'local' })
  const readme = readFileSync(`${HERE}/README.md`, 'utf8').replace(':5000/', `:${port}/`)
  const [, command = ''] = /^docker exec CONTAINER (node .*?)^```$/ms.exec(readme) ?? []
  const { stdout } = spawnSync('sh', ['-c', command], { encoding: 'utf8' })
  t.equal(stdout, '{"email":"bob@bob.com","message":"user created"}\n\n')
})

t.test("the unit's command serves", NEEDS_NODE, async (t) => {
  const unit = readFileSync(`${HERE}/user-auth.service`, 'utf8')
  if (spawnSync('systemd-analyze', ['--version']).error === undefined) {
    const { stderr } = spawnSync('systemd-analyze', ['verify', `${HERE}/user-auth.service`], { encoding: 'utf8' })
    t.equal(stderr, '')
  }
  const state = tempDir(t)
  const command = /^ExecStart=(.*)$/m.exec(unit)?.[1]?.split(' ') ?? []
  const environment = /^Environment=(.*)$/m.exec(unit)?.[1]?.replace('/var/lib/user-auth/', `${state}/`) ?? ''
  await serves(t, ROOT, command, Object.fromEntries(environment.split(' ').map((pair) => pair.split('='))))
  t.ok(existsSync(`${state}/users.json`))
})

const NEEDS_NGINX = { skip: NEEDS_POSTGRES.skip || (NGINX === '' && 'no nginx: apt-get install nginx-light') }

t.test('two nodes behind nginx share their sessions, and one may stop', NEEDS_NGINX, async (t) => {
  const { url: DATABASE_URL } = await createDatabase(t)
  const start = () => startServer(t, { DATABASE_URL, TRUST_PROXY: '1' })
  const [one, two] = await Promise.all([start(), start()])
  const [directory, port] = [tempDir(t), await freePort()]
  const nodes = readFileSync(`${HERE}/nodes.conf`, 'utf8')
    .replace(':5001', `:${one.port}`)
    .replace(':5002', `:${two.port}`)
    .replace('listen 127.0.0.1:5000', `listen 127.0.0.1:${port}`)
  mkdirSync(`${directory}/logs`)
  writeFileSync(
    `${directory}/nginx.conf`,
    `pid ${directory}/pid; error_log stderr notice; events {} http { access_log off; ${temporaryPaths(directory)} ${nodes} }`,
  )
  await startNginx(t, directory)
  const url = `http://127.0.0.1:${port}`
  const user = { email: 'a@b', password: 'p' }
  t.match(await request(`${url}/users`, 'POST', user), { status: 200 })
  const cookie = `session_id=${sessionOf(await request(`${url}/sessions`, 'POST', user))}`
  const profiles = async () =>
    Promise.all(
      Array.from({ length: 8 }, async () => (await request(`${url}/profile`, 'GET', undefined, { cookie })).status),
    )
  t.strictSame(await profiles(), Array(8).fill(200))
  await one.stop()
  t.strictSame(await profiles(), Array(8).fill(200), 'the other node answers')
})
