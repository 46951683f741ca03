/** Replaying the log over the table. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { DB } from '../../../db.ts'
import { runScript } from '../../helper/program.ts'
import { emailsIn, filesAt, log, openWith, row, stored, table, writeStore } from '../../helper/store.ts'

t.test('an unreadable last line is dropped with a warning, with its whole batch', async (t) => {
  const errors = t.capture(console, 'error')
  const batch = log([row(2), row(3)])
  const hole = Buffer.from(batch)
  hole.fill(0, 20, 60)
  for (const [i, last] of [
    batch.slice(0, 20),
    batch.trimEnd(),
    Buffer.alloc(100),
    hole,
    Buffer.concat([Buffer.alloc(batch.length - 1), Buffer.from('\n')]),
    Buffer.from([0xc3]),
    '\n',
    `[${' '.repeat(300_000)}`,
  ].entries()) {
    const files = {
      '-wal': Buffer.concat([Buffer.from(log([row(1)], [row(1, { session_id: 's' })])), Buffer.from(last)]),
    }
    const { db, path } = await openWith(t, files)
    t.match(errors.args().at(-1), [/users.json-wal, line 3: dropped: a crash/], `${i}`)
    t.equal(await db.countUsers(), 1)
    t.equal((await db.addUser('new@me.com', 'x')).id, 2)
    await db.close()
    t.match(stored(path), [row(1, { session_id: 's' }), { id: 2, email: 'new@me.com' }])
  }
})

t.test('a log is replayed over an older and over a newer table', async (t) => {
  const [one, two, three] = [
    row(1, { email: 'swapped@me.com' }),
    row(2, { email: 'user1@me.com' }),
    row(3, { reset_token: 'r' }),
  ]
  const wal = log([one, row(2)], [two, three])
  for (const before of [undefined, table(row(1)), table(row(1), two), table(one, two, three)]) {
    const { db, path } = await openWith(t, before === undefined ? { '-wal': wal } : { '-wal': wal, '': before })
    t.match(await db.findUserBy({ reset_token: 'r' }), { id: 3 })
    t.equal((await db.addUser('x@me.com', 'x')).id, 4)
    await db.close()
    t.match(stored(path), [one, two, three, { id: 4 }])
    t.strictSame(filesAt(path), ['users.json'])
  }
})

t.test('over an edited table, rows in the log win, and all others stay as edited', async (t) => {
  const { db, path } = await openWith(t, {
    '': table(row(1, { email: 'edited@me.com' }), row(9), row(2)),
    '-wal': log([row(5)], [row(2, { session_id: 's' })]),
  })
  await db.close()
  t.strictSame(emailsIn(path), ['edited@me.com', 'user2@me.com', 'user5@me.com', 'user9@me.com'])
  t.match(stored(path)[1], { session_id: 's' })
})

t.test('a damaged log is refused with the file and the line, and nothing is touched', async (t) => {
  const good = JSON.stringify([row(1)])
  const unreadable = Buffer.from(log([row(1)], [row(2)], [row(3)]))
  unreadable[unreadable.indexOf('user2')] = 0xff
  for (const [content, message] of [
    [`${good}\nrubbish\n${good}\n`, /users.json-wal, line 2: not readable/],
    [`${good}\nrubbish\n${good}`, /users.json-wal, line 2: not readable/],
    [`${good}\n\n${good}\n`, /users.json-wal, line 2: not readable/],
    [`${good}\n[{"id":2,"email":"x\n${good}\n`, /users.json-wal, line 2: not readable/],
    [`${good}\n5\n`, /users.json-wal, line 2: a batch must be a list of rows/],
    [`${good}\n[{"id":"x"}]\n`, /users.json-wal, line 2: id must be a positive integer/],
    [unreadable, /users.json-wal, line 2: not readable/],
    [
      log([row(1)], [row(3), row(2, { email: 'user1@me.com' })]),
      /users.json-wal, line 2: a second row with email user1@/,
    ],
  ] as const) {
    const path = writeStore(t, { '-wal': content })
    await t.rejects(new DB(`file:${path}`).open(), { name: 'StoreError', message }, `${content}`.slice(0, 80))
    t.strictSame(filesAt(path), ['users.json-wal'])
    t.ok(readFileSync(`${path}-wal`).equals(Buffer.from(content)), 'untouched')
  }
})

t.test('a batch ends after 1,000 rows, so that its line can be read again', async (t) => {
  const { db, path } = await openWith(t, {})
  const calls = Array.from({ length: 9000 }, (_, i) => db.addUser(`${'x'.repeat(230)}${i}@me.com`, 'ü'.repeat(250)))
  const ids = (await Promise.all(calls)).map(({ id }) => id)
  t.equal(new Set(ids).size, 9000)
  const lines = readFileSync(`${path}-wal`, 'utf8').trimEnd().split('\n')
  t.ok(lines.length > 1, `${lines.length} batches`)
  for (const line of lines) t.ok(line.length < 5_000_000, `${line.length} characters`)
  t.equal(
    lines.reduce((sum, line) => sum + JSON.parse(line).length, 0),
    9000,
  )
})

/** The first lines of a script: each read of the table or its log takes 5 ms more; `onRead()` is called before it. */
const ON_READ = `
  import fs from 'node:fs'
  import { syncBuiltinESMExports } from 'node:module'
  const { read } = fs
  let onRead = () => {}
  const isTable = (file) => /users.json(-wal)?$/.test(fs.readlinkSync('/proc/self/fd/' + file))
  fs.read = (file, ...others) => {
    if (!isTable(file)) return read(file, ...others)
    onRead()
    setTimeout(() => read(file, ...others), 5)
  }
  syncBuiltinESMExports()`

t.test('a start that takes long keeps its lock', async (t) => {
  const rows = Array.from({ length: 20_000 }, (_, i) => row(i + 1, { reset_token: 'r'.repeat(250) }))
  const path = writeStore(t, { '': table(...rows), '-wal': log([row(1)]) })
  const child = runScript(`${ON_READ}
    // Makes the heartbeat a hundred times as fast.
    const { setInterval } = globalThis
    globalThis.setInterval = (beat, ms) => setInterval(beat, ms / 100)
    const { DB } = await import('./db.ts')
    const touched = new Set()
    onRead = () => touched.add(fs.statSync('${path}-lock').mtimeMs)
    const db = new DB('file:${path}')
    await db.open()
    console.log(touched.size)
    await db.close()`)
  await child.exited
  t.ok(Number(child.stdout) > 3, `touched ${child.stdout} times`)
})

t.test('a start that is overtaken while it loads gives up, and touches nothing', async (t) => {
  const path = writeStore(t, { '': table(...Array.from({ length: 5000 }, (_, i) => row(i + 1))) })
  const child = runScript(`${ON_READ}
    const { DB } = await import('./db.ts')
    onRead = () => fs.rmSync('${path}-lock', { force: true })
    await new DB('file:${path}').open().catch(({ name, message }) => console.log(name, message))`)
  t.match(await child.exited, { code: 0 })
  t.match(child.stdout, /^StoreError \S+users.json-lock was deleted/)
  t.strictSame(filesAt(path), ['users.json'])
})
