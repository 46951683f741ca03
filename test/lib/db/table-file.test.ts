/** `users.json`: every layout, damage, and who may read it. */
import { chmodSync, chownSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import t from 'tap'
import { DB } from '../../../db.ts'
import { COLUMNS } from '../../../user.ts'
import { AS_NOBODY, NEEDS_ROOT } from '../../helper/disk.ts'
import { runScript } from '../../helper/program.ts'
import { filesAt, log, openWith, row, table, writeStore } from '../../helper/store.ts'

t.test('a table loads however it is laid out', async (t) => {
  const users = [row(1, { email: '"{[\\ü🙂\n' }), row(3), row(2, { session_id: 's', session_expires_at: 5 })]
  const fiveColumns = users.map((user) => ({
    session_id: null,
    reset_token: null,
    ...user,
    session_expires_at: undefined,
  }))
  const own = table(...users)
  for (const text of [
    own,
    own.trimEnd(),
    own.replace(']}\n', '],"last_id":3}\n'),
    `\ufeff${own}`,
    `\ufeff${JSON.stringify({ last_id: 2, users })}`,
    own.replaceAll('\n', '\r\n'),
    own.replace(',\n', ',\n\n'),
    own.replace(',\n', ','),
    own.replace(',\n', '\n,'),
    table(...fiveColumns),
    JSON.stringify({ users }),
    JSON.stringify({ users }, null, 2),
    JSON.stringify({ users }, null, '\t').replaceAll('\n', '\r\n'),
    ` {"users" : [ ${users.map((user) => JSON.stringify(user)).join(' , ')} ] } `,
  ]) {
    const { db } = await openWith(t, { '': text })
    t.match(await db.findUserBy({ email: '"{[\\ü🙂\n' }), { id: 1 }, text.slice(0, 40))
    t.match(await db.findUserBy({ session_id: 's' }), { id: 2 })
    t.match(await db.findUserBy({ reset_token: null }), { id: 1 })
    t.equal((await db.addUser('new@me.com', 'x')).id, 4, 'after the largest id')
    await db.close()
  }
  for (const text of ['{"users":[]}', '{"users":[\n]}\n', '{"users":[\n\n]}\n', '{"users":[\n],"last_id":0}\n']) {
    const { db } = await openWith(t, { '': text })
    t.equal((await db.addUser('a@b', 'x')).id, 1)
  }
})

t.test('the id of a user who was deleted from the file does not come back', async (t) => {
  const { db, path } = await openWith(t, {})
  for (const email of ['a@b', 'c@d', 'e@f']) await db.addUser(email, 'x')
  await db.close()
  const text = readFileSync(path, 'utf8')
  t.match(text, /\},\n\{"id":3,.*\}\n\],"last_id":3\}\n$/)
  const without = text.replace(/,\n\{"id":3,.*\n/, '\n')
  for (const left of [without, JSON.stringify(JSON.parse(without), null, 2), '{"users":[\n],"last_id":3}\n']) {
    const again = await openWith(t, { '': left, '-wal': log([row(2)]) })
    t.equal((await again.db.addUser('new@me.com', 'x')).id, 4)
    await again.db.close()
    t.match(readFileSync(again.path, 'utf8'), /\],"last_id":4\}\n$/)
  }
})

t.test('a table that is read in many pieces loads, even with another layout near its end', async (t) => {
  const users = Array.from({ length: 5000 }, (_, i) => row(i + 1, { reset_token: 'ü'.repeat(i % 250) }))
  const text = table(...users)
  for (const content of [text, text.replace(',\n{"id":4990', ', {"id":4990')]) {
    const { db } = await openWith(t, { '': content })
    t.equal(await db.countUsers(), 5000)
    t.match(await db.findUserBy({ email: 'user4999@me.com' }), users[4998])
    await db.close()
  }
})

t.test('after a clean stop the table alone holds every row, one a line', async (t) => {
  const { db, path } = await openWith(t, { '': JSON.stringify({ users: [row(2), row(1)] }, null, 2) })
  await Promise.all(Array.from({ length: 2000 }, (_, i) => db.addUser(`new${i}@me.com`, 'x'.repeat(250))))
  await db.updateUser(1, { session_id: 's' })
  await db.close()
  t.strictSame(filesAt(path), ['users.json'])
  const lines = readFileSync(path, 'utf8').split('\n')
  t.strictSame([lines[0], ...lines.slice(-2)], ['{"users":[', '],"last_id":2002}', ''])
  t.equal(lines.length, 2005)
  t.strictSame(Object.keys(JSON.parse(lines[1]?.slice(0, -1) ?? '')), Object.keys(COLUMNS))
  t.match(lines[1], /"id":1,.*"session_id":"s"/)
})

t.test('a damaged table is refused with the place of the damage, and nothing is touched', async (t) => {
  const good = JSON.stringify(row(1))
  const unreadable = Buffer.from(table(row(1), row(2), row(3)))
  unreadable[unreadable.indexOf('user2')] = 0xff
  const unreadableToo = Buffer.from(JSON.stringify({ users: [row(1)] }))
  unreadableToo[unreadableToo.indexOf('user1')] = 0xff
  const inPieces = table(...Array.from({ length: 9000 }, (_, i) => row(i + 1)))
  for (const [content, message] of [
    ['', /users.json is empty; delete it to begin without users$/],
    ['rubbish', /users.json: not readable as JSON: Unexpected token [^"]*$/],
    ['{"users":[nul\n]}', /users.json: not readable as JSON: Unexpected token '\\n'$/],
    ['{"users":[]} more', /users.json: not readable as JSON: Unexpected /],
    [unreadableToo, /users.json: not readable as UTF-8; if it is Latin-1, iconv -f latin1 -t utf-8 converts it$/],
    [
      Buffer.from(table(row(1, { reset_token: 'é' })), 'latin1'),
      /users.json, line 2: not readable as UTF-8; if it is Latin-1, iconv /,
    ],
    ...['null', '5', '[]', '{}', '{"users":{}}', '{"people":[]}', '{"users":[],"more":1}'].map(
      (text) => [text, /users.json: expected \{"users":\[…\]\}, .*, and no other key but "last_id"$/] as const,
    ),
    [table(row(1)).replace(']}', '],"more":1}'), /users.json: expected /],
    ['{"users":[],"last_id":"7"}', /users.json: last_id must be the highest id that was ever given, or missing$/],
    ['{"users":[\n],"last_id":9007199254740993}\n', /users.json: last_id must be /],
    [`${table(row(1))}\n`.repeat(2), /users.json, line 3: not readable/],
    [table(row(1), row(2)).replace('},\n', '}\n'), /users.json, line 2: not readable/],
    ['{"users":[\n', /users.json, line 2: not readable/],
    [`{"users":[\n${good}\n]`, /users.json, line 3: not readable/],
    [`{"users":[\n${good},\n{"id":2`, /users.json, line 3: not readable/],
    [`{"users":[\n${good},\n]}\n`, /users.json, line 3: not readable/],
    [
      `{"users":[\n${good}\n${JSON.stringify(row(2))},\n${JSON.stringify(row(3))}\n]}\n`,
      /users.json, line 2: not readable/,
    ],
    [`{"users":[\n${good},,${JSON.stringify(row(2))}]}`, /users.json, line 2: not readable/],
    [table(row(1), row(2)).replace('"email":"user2', '"email":user2'), /users.json, line 3: not readable/],
    [table(row(1), row(2), row(3)).replace('user2@me.com"', 'user2@me.com'), /users.json, line 3: not readable/],
    [inPieces.replace('"user8000@me.com"', 'user8000@me.com'), /users.json, line 8001: not readable/],
    [unreadable, /users.json, line 3: not readable/],
    [table(row(2), row(1), row(2)), /users.json, line 4: a second row with id 2/],
    [table(row(1), row(2), row(3, { email: 'USER1@me.com' })), /users.json, line 4: a second row with email USER1@/],
    [
      JSON.stringify({ users: [row(1), row(2, { email: 'USER1@me.com' })] }),
      /users.json, row 2: a second row with email/,
    ],
    [table(row(1), row(2, { id: 'two' })), /users.json, line 3: id must be a positive integer/],
    [table(row(1), row(2, { phone: 1 })), /users.json, line 3: unknown column "phone"/],
    ['{"users":[[{}]]}', /users.json, row 1: a row must be an object/],
    [`{"users":[\n{"id":1,"email":"${'x'.repeat(500_000)}"}\n]}`, /users.json, line 2: email must be/],
    [`{"users":[\n{"id":1,"email":"${'x'.repeat(500_000)}`, /users.json, line 2: not readable/],
  ] as const) {
    const path = writeStore(t, { '': content })
    const db = new DB(`file:${path}`)
    await t.rejects(db.open(), { name: 'StoreError', message }, `${content}`.slice(0, 80))
    t.strictSame(filesAt(path), ['users.json'])
    t.ok(readFileSync(path).equals(Buffer.from(content)), 'untouched')
    writeFileSync(path, table(row(1)))
    t.equal(await db.countUsers(), 1, 'it opens once the table is mended')
    await db.close()
  }
})

t.test('the table keeps its owner, group and mode; a new one is private', async (t) => {
  const isRoot = process.getuid?.() === 0
  for (const mode of [undefined, 0o640]) {
    const path = writeStore(t, mode === undefined ? {} : { '': table(row(1)) })
    if (mode !== undefined) chmodSync(path, mode)
    if (mode !== undefined && isRoot) chownSync(path, 12, 34)
    const { db } = await openWith(t, {}, path)
    await db.addUser('a@b', 'x')
    await db.close()
    t.equal(statSync(path).mode & 0o777, mode ?? 0o600)
    if (mode !== undefined && isRoot) t.match(statSync(path), { uid: 12, gid: 34 })
  }
})

t.test('the table keeps its group where this process may not keep its owner', NEEDS_ROOT, async (t) => {
  const path = writeStore(t, { '': table(row(1)) })
  chownSync(dirname(path), 65534, 65534)
  chownSync(path, 12, 34)
  chmodSync(path, 0o660)
  const child = runScript(`
    process.setgroups([34])
    ${AS_NOBODY}
    const { DB } = await import('./db.ts')
    const db = new DB('file:${path}')
    await db.addUser('a@b', 'x')
    await db.close()`)
  t.match(await child.exited, { code: 0 }, child.stderr)
  const { uid, gid, mode } = statSync(path)
  t.match({ uid, gid, mode: mode & 0o777 }, { uid: 65534, gid: 34, mode: 0o660 })
})

t.test('a mode that was changed while the table was open is kept', async (t) => {
  const { db, path } = await openWith(t, { '': table(row(1)) })
  chmodSync(path, 0o604)
  await db.addUser('a@b', 'x')
  await db.close()
  t.equal(statSync(path).mode & 0o777, 0o604)
})
