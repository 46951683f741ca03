/** Replaying the log over the table. */
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { DB } from '../../../db.ts'
import { log, openWith, row, table, writeStore } from '../../helper/store.ts'

t.test('a last line that cannot be read is dropped with a warning, and its batch as a whole', async (t) => {
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
    const stored = JSON.parse(readFileSync(path, 'utf8')).users
    t.match(stored, [row(1, { session_id: 's' }), { id: 2, email: 'new@me.com' }])
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
    t.match(JSON.parse(readFileSync(path, 'utf8')).users, [one, two, three, { id: 4 }])
    t.strictSame(readdirSync(path.replace('users.json', '')), ['users.json'])
  }
})

t.test('a log over a table that was edited: rows in the log win, all others are as edited', async (t) => {
  const { db, path } = await openWith(t, {
    '': table(row(1, { email: 'edited@me.com' }), row(9), row(2)),
    '-wal': log([row(5)], [row(2, { session_id: 's' })]),
  })
  await db.close()
  const ids = [1, 2, 5, 9]
  const stored: { id: number }[] = JSON.parse(readFileSync(path, 'utf8')).users
  t.match(stored, [{ email: 'edited@me.com' }, { session_id: 's' }, {}, {}])
  t.strictSame(
    stored.map(({ id }) => id),
    ids,
  )
})

t.test('damage: the start is refused with the file and the line, and nothing is touched', async (t) => {
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
    t.strictSame(readdirSync(path.replace('users.json', '')), ['users.json-wal'])
    t.ok(readFileSync(`${path}-wal`).equals(Buffer.from(content)), 'untouched')
  }
})
