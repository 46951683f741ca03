/** The file store under real faults: killed processes, full disks, damaged files, two owners. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  watch,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import t, { type Test } from 'tap'
import { DB, StoreError } from '../../../db.ts'
import { COLUMNS } from '../../../user.ts'
import { request } from '../../helper/http.ts'
import { Program, type RunningServer, startServer, tempDir } from '../../helper/program.ts'

const row = (id: number, more = {}) => ({ id, email: `user${id}@me.com`, hashed_password: 'x', ...more })
const table = (...rows: object[]) => `{"users":[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]}\n`
const log = (...rows: object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('')

/** node ignores the signal for a file over the limit, as it should; tap's own handler, which runs in children too, does not. */
const IGNORE_SIGXFSZ = '--import=data:text/javascript,process.on("SIGXFSZ",()=>{})'

/** Opens a store with these files, by the end of their name. */
async function openWith(t: Test, files: Record<string, string | Uint8Array>): Promise<{ db: DB; path: string }> {
  const path = `${tempDir(t)}/users.json`
  for (const [end, content] of Object.entries(files)) writeFileSync(path + end, content)
  const db = new DB(`file:${path}`)
  await db.open()
  return { db, path }
}

/** Registers until the disk is full, checks what holds then, makes room, and checks that all is well again. */
async function fillDisk(t: Test, server: RunningServer, path: string, makeRoom: () => void): Promise<void> {
  const acknowledged: string[] = []
  const failed: string[] = []
  for (let i = 0; failed.length === 0; i += 40) {
    const emails = Array.from({ length: 40 }, (_, k) => `${'x'.repeat(200)}${i + k}@me.com`)
    const answers = await Promise.all(
      emails.map((email) => request(`${server.url}/users`, 'POST', { email, password: 'p' })),
    )
    answers.forEach(({ status, body, headers }, k) => {
      if (status === 200) return acknowledged.push(emails[k] ?? '')
      t.match(body, { message: 'the store is not available' })
      t.equal(status, 503)
      t.equal(headers.get('retry-after'), '1')
      return failed.push(emails[k] ?? '')
    })
  }
  t.match(await request(server.url, 'GET'), { status: 200 })
  const known = { email: acknowledged[0] ?? '', password: 'p' }
  t.match(await request(`${server.url}/users`, 'POST', known), { status: 400 }, 'reads go on')
  t.match(readFileSync(`${path}-wal`, 'utf8'), /(^|\n)$/, 'nothing half-written')
  makeRoom()
  t.match(await request(`${server.url}/users`, 'POST', { email: failed[0] ?? '', password: 'p' }), { status: 200 })
  t.match(await request(`${server.url}/sessions`, 'POST', known), { status: 200 })
  t.equal(await server.stop(), 0)
  const stored: { email: string; id: number }[] = JSON.parse(readFileSync(path, 'utf8')).users
  t.strictSame(stored.map(({ email }) => email).sort(), [...acknowledged, failed[0]].sort())
  t.strictSame(
    stored.map(({ id }) => id),
    stored.map((_, i) => i + 1),
    'no number is lost with what failed',
  )
}

t.test('a full disk', async (t) => {
  const directory = tempDir(t)
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', directory])
  if (mounted.status !== 0) return t.pass('no tmpfs can be mounted here; the limit on the file size has to do')
  t.teardown(() => spawnSync('umount', ['-l', directory]))
  const path = `${directory}/users.json`
  writeFileSync(`${directory}/ballast`, 'x'.repeat(150_000))
  const server = await startServer(t, { DATABASE_URL: `file:${path}` })
  await fillDisk(t, server, path, () => writeFileSync(`${directory}/ballast`, ''))
})

t.test(
  'a limit on the file size',
  { skip: spawnSync('prlimit', ['--version']).error ? 'there is no prlimit' : false },
  async (t) => {
    const path = `${tempDir(t)}/users.json`
    const server = await startServer(t, { DATABASE_URL: `file:${path}` }, [IGNORE_SIGXFSZ])
    const limit = (bytes: string) =>
      spawnSync('prlimit', ['--pid', `${server.child.pid}`, `--fsize=${bytes}:unlimited`])
    limit('100000')
    await fillDisk(t, server, path, () => limit('unlimited'))
  },
)

t.test('a fold during which a write fails is given up', async (t) => {
  const path = `${tempDir(t)}/users.json`
  writeFileSync(`${path}-wal-old`, log(row(1)))
  writeFileSync(`${path}-wal`, log(row(2)).repeat(Math.floor((100 * 1024) / log(row(2)).length)))
  const script = `
    import { DB } from './db.ts'
    process.on('SIGXFSZ', () => {})
    const db = new DB('file:${path}')
    await db.open()
    await db.addUser('a@b', 'x'.repeat(250)).catch((error) => console.log(error.message))
    await db.close()`
  const tsx = createRequire(import.meta.url).resolve('tsx')
  const command = `ulimit -S -f 100; exec '${process.execPath}' --import 'file://${tsx}' --input-type=module -e "$0"`
  const { stdout, stderr } = spawnSync('bash', ['-c', command, script], { encoding: 'utf8', cwd: process.cwd() })
  t.match(stdout, /^cannot write \S+users.json-wal: EFBIG/)
  t.match(stderr, /^cannot fold \S+users.json-wal into the table, trying again later: a change .* was undone\n$/)
  t.strictSame(JSON.parse(readFileSync(path, 'utf8')).users.length, 2)
})

t.test('a disk that fails to sync: the process says so and ends', async (t) => {
  const path = `${tempDir(t)}/users.json`
  symlinkSync('/dev/null', `${path}-wal`)
  const server = await startServer(t, { DATABASE_URL: `file:${path}` })
  await t.rejects(request(`${server.url}/users`, 'POST', { email: 'a@b', password: 'p' }))
  t.match(await server.exited, { code: 1 })
  t.match(server.stderr, /^cannot sync \S+users.json-wal: EINVAL.*; stopping.*\n$/)
})

t.test('a torn last record is dropped with a warning', async (t) => {
  const errors = t.capture(console, 'error')
  for (const torn of ['{"id":2,"email":"us', JSON.stringify(row(2)), '\0\0\0', 'ü']) {
    const { db, path } = await openWith(t, { '-wal': log(row(1), row(1, { session_id: 's' })) + torn })
    t.match(errors().at(-1)?.args, [/users.json-wal, line 3: dropped a torn record/], torn)
    t.equal((await db.addUser('new@me.com', 'x')).id, 2)
    await db.close()
    const stored = JSON.parse(readFileSync(path, 'utf8')).users
    t.match(stored, [row(1, { session_id: 's' }), { id: 2, email: 'new@me.com' }])
  }
})

t.test('a log is replayed over an older and over a newer table', async (t) => {
  const files = {
    '-wal-old': log(row(1, { email: 'swapped@me.com' }), row(2)),
    '-wal': log(row(2, { email: 'user1@me.com' }), row(3, { reset_token: 'r' })),
  }
  const result = [row(1, { email: 'swapped@me.com' }), row(2, { email: 'user1@me.com' }), row(3, { reset_token: 'r' })]
  for (const before of [undefined, table(row(1)), table(row(1), row(2, { email: 'user1@me.com' })), table(...result)]) {
    const { db, path } = await openWith(t, before === undefined ? files : { ...files, '': before })
    t.match(await db.findUserBy({ reset_token: 'r' }), { id: 3 })
    t.equal((await db.addUser('x@me.com', 'x')).id, 4)
    await db.close()
    t.match(JSON.parse(readFileSync(path, 'utf8')).users, [...result, { id: 4 }])
  }
})

t.test('damage: the start is refused, with the file and the line, and nothing is touched', async (t) => {
  const good = JSON.stringify(row(1))
  const unreadable = Buffer.from(table(row(1), row(2), row(3)))
  unreadable[unreadable.indexOf('user2')] = 0xff
  const unreadableLog = Buffer.from(log(row(1), row(2), row(3)))
  unreadableLog[unreadableLog.indexOf('user2')] = 0xff
  for (const [end, content, place] of [
    ['', '', /users.json, line 1: no end of the table/],
    ['', '\n\n', /users.json, line 1: /],
    ['', 'rubbish', /users.json, line 1: /],
    ['', '[]', /users.json, line 1: /],
    ['', '{"people":[]}', /users.json, line 1: /],
    ['', '{"people":[{}]}', /users.json, line 1: no readable row/],
    ['', '{"users":[]} more', /users.json, line 1: /],
    ['', `{"users":[\n${good}\n]`, /users.json, line 3: no end of the table/],
    ['', `{"users":[\n${good}`, /users.json, line 2: /],
    ['', `{"users":[\n${good},\n{"id":2`, /users.json, line 3: /],
    ['', `{"users":[\n${good},\n]}`, /users.json, line 3: /],
    ['', `{"users":[\n${good}\n${JSON.stringify(row(2))}]}`, /users.json, line 3: no readable row/],
    ['', `{"users":[\n${good},,${JSON.stringify(row(2))}]}`, /users.json, line 2: no readable row/],
    ['', table(row(1), row(2)).replace('"email":"user2', '"email":user2'), /users.json, line 3: /],
    ['', table(row(1), row(2)).replace('user2@me.com"', 'user2@me.com'), /users.json, line \d: /],
    ['', unreadable, /users.json, line 3: no readable row/],
    ['', table(row(1), row(1)), /users.json, line 3: a second row with id 1/],
    [
      '',
      table(row(1), row(2), row(3, { email: 'USER1@me.com' })),
      /users.json, line 4: a second row with email USER1@/,
    ],
    ['', table(row(1), row(2, { id: 'two' })), /users.json, line 3: id must be a positive integer/],
    ['', table(row(1), row(2, { phone: 1 })), /users.json, line 3: unknown column "phone"/],
    ['', `{"users":[[{}]]}`, /users.json, line 1: /],
    ['', `{"users":[{"id":1,"email":"${'x'.repeat(5_000_000)}"}]}`, /users.json, line 1: no end of the row/],
    ['-wal', `${good}\nrubbish\n${good}\n`, /users.json-wal, line 2: no readable row/],
    ['-wal', `${good}\n\n${good}\n`, /users.json-wal, line 2: no readable row/],
    ['-wal', `${good}\n{"id":2,"email":"x\n${good}\n`, /users.json-wal, line 2: no readable row/],
    ['-wal', `${good}\n[]\n${good}\n`, /users.json-wal, line 2: a row must be an object/],
    ['-wal', unreadableLog, /users.json-wal, line 2: no readable row/],
    ['-wal', log(row(1), row(2, { email: 'user1@me.com' })), /users.json-wal, line 2: a second row with email/],
  ] as const) {
    const path = `${tempDir(t)}/users.json`
    writeFileSync(path + end, content)
    const db = new DB(`file:${path}`)
    await t.rejects(db.open(), { name: 'StoreError', message: place }, `${content}`.slice(0, 80))
    t.strictSame(readdirSync(path.replace('users.json', '')), [`users.json${end}`])
    t.ok(readFileSync(path + end).equals(Buffer.from(content)), 'untouched')
  }
  await t.rejects(new DB(`file:${tempDir(t)}/no/such/directory`).open(), StoreError)
})

t.test('a table loads however it is laid out', async (t) => {
  const users = [row(1, { email: '"{[\\ü🙂\n' }), row(3), row(2, { session_id: 's', session_expires_at: 5 })]
  const five = users.map((user) => ({ session_id: null, reset_token: null, ...user, session_expires_at: undefined }))
  for (const text of [
    table(...users),
    table(...five),
    JSON.stringify({ users }),
    JSON.stringify({ users }, null, 2),
    JSON.stringify({ users }, null, '\t').replaceAll('\n', '\r\n'),
    ` {"users" : [ ${users.map((user) => JSON.stringify(user)).join(' , ')} ] } `,
  ]) {
    const { db } = await openWith(t, { '': text })
    t.match(await db.findUserBy({ email: '"{[\\ü🙂\n' }), { id: 1 })
    t.match(await db.findUserBy({ session_id: 's' }), { id: 2 })
    t.equal((await db.addUser('new@me.com', 'x')).id, 4, 'behind the largest id')
    await db.close()
  }
  const empty = await openWith(t, { '': '{"users":[]}' })
  t.equal((await empty.db.addUser('a@b', 'x')).id, 1)
  await empty.db.close()
})

t.test('after a clean stop the table alone holds every row, one a line', async (t) => {
  const { db, path } = await openWith(t, { '': JSON.stringify({ users: [row(1)] }, null, 2) })
  await Promise.all(Array.from({ length: 2000 }, (_, i) => db.addUser(`new${i}@me.com`, 'x'.repeat(250))))
  await db.updateUser(1, { session_id: 's' })
  await db.close()
  t.strictSame(readdirSync(path.replace('users.json', '')), ['users.json'])
  const lines = readFileSync(path, 'utf8').split('\n')
  t.strictSame([lines[0], ...lines.slice(-2)], ['{"users":[', ']}', ''])
  t.equal(lines.length, 2004)
  t.strictSame(Object.keys(JSON.parse(lines[1]?.slice(0, -1) ?? '')), Object.keys(COLUMNS))
  t.match(lines[1], /"session_id":"s"/)
})

t.test('a table with many rows loads in pieces, and is folded beside the traffic', async (t) => {
  const users = Array.from({ length: 30_000 }, (_, i) =>
    row(i + 1, { session_id: `s${i}`, reset_token: 'ü'.repeat(i % 99) }),
  )
  const { db, path } = await openWith(t, { '': JSON.stringify({ users }) })
  const size = () => readFileSync(path).length
  const before = size()
  for (let i = 0; !existsSync(`${path}-wal-old`); i++) {
    const ids = Array.from({ length: 500 }, (_, k) => ((i * 500 + k) % 30_000) + 1)
    await Promise.all(ids.map((id) => db.updateUser(id, { reset_token: `${i}-${id}` })))
  }
  await db.updateUser(7, { session_id: 'during' })
  while (existsSync(`${path}-wal-old`)) await db.updateUser(8, { session_id: 'during too' })
  t.not(size(), before)
  t.equal((await db.findUserBy({ session_id: 'during' })).id, 7)
  await db.close()
  const again = new DB(`file:${path}`)
  await again.open()
  t.equal((await again.findUserBy({ session_id: 'during' })).id, 7)
  t.equal((await again.findUserBy({ session_id: 's29999' })).id, 30_000)
  await again.close()
})

t.test('a small table is folded after a quiet second', async (t) => {
  const { db, path } = await openWith(t, {})
  const folded = new Promise((resolve) => {
    const watcher = watch(path.replace('users.json', ''), (_, name) => {
      if (name !== 'users.json-wal-old' || existsSync(`${path}-wal-old`)) return
      watcher.close()
      resolve(null)
    })
  })
  await db.addUser('a@b', 'x')
  await folded
  t.equal(JSON.parse(readFileSync(path, 'utf8')).users.length, 1)
  t.equal(readFileSync(`${path}-wal`, 'utf8'), '')
  await db.close()
})

t.test('a link to a table stays a link', async (t) => {
  const target = `${tempDir(t)}/real.json`
  const link = `${tempDir(t)}/users.json`
  writeFileSync(target, table(row(1)), { mode: 0o640 })
  symlinkSync(target, link)
  const db = new DB(`file:${link}`)
  await db.open()
  await db.addUser('a@b', 'x')
  await db.close()
  t.equal(JSON.parse(readFileSync(target, 'utf8')).users.length, 2)
})

t.test('a link to a table that is not there yet leads to the same table, and its lock', async (t) => {
  const directory = tempDir(t)
  mkdirSync(`${directory}/data`)
  symlinkSync('data/users.json', `${directory}/users.json`)
  const [one, two] = ['users.json', 'data/users.json'].map((path) => new DB(`file:${directory}/${path}`))
  await one?.open()
  await t.rejects(two?.open() ?? Promise.resolve(), { message: /has this table/ })
  await one?.addUser('a@b', 'x')
  await one?.close()
  t.strictSame(readdirSync(`${directory}/data`), ['users.json'])
})

t.test('the table stays as private as it was, whatever a crash has left behind', async (t) => {
  const { db, path } = await openWith(t, { '-tmp': 'rest of a fold' })
  chmodSync(`${path}-tmp`, 0o644)
  await db.addUser('a@b', 'x')
  await db.close()
  t.equal(statSync(path).mode & 0o777, 0o600)
})

t.test('one process owns a table', async (t) => {
  const path = `${tempDir(t)}/users.json`
  const env = { DATABASE_URL: `file:${path}`, HOST: '127.0.0.1', PORT: '0' }
  const first = await startServer(t, env)
  const second = new Program('server.ts', env)
  t.match(await second.exited, { code: 1 })
  t.match(
    second.stderr,
    new RegExp(`^\\S+users.json-lock: process ${first.child.pid} has this table; stop it first\n$`),
  )
  await first.stop('SIGKILL')
  const third = await startServer(t, env)
  t.equal(await third.stop(), 0, 'the start after a kill works at once')
})
