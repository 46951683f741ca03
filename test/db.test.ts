/** The same calls, with the same results, on every engine. */
import t, { type Test } from 'tap'
import { DB } from '../db.ts'
import { COLUMN_NAMES, COLUMNS, User, ValueError } from '../user.ts'
import { createDatabase, NEEDS_POSTGRES } from './helper/postgres.ts'
import { tempDir } from './helper/program.ts'
import { dbAt } from './helper/store.ts'

/** Where each engine keeps its table. */
const ENGINES: Record<string, { urlFor: (t: Test) => string | Promise<string>; options?: { skip: string | boolean } }> =
  {
    memory: { urlFor: () => 'memory:' },
    file: { urlFor: (t) => `file:${tempDir(t)}/users.json` },
    postgres: { urlFor: async (t) => (await createDatabase(t)).url, options: NEEDS_POSTGRES },
  }

type Method = 'addUser' | 'findUserBy' | 'updateUser' | 'countUsers'
/** A call, and its outcome: the id of the user, nothing, a number, or the name of an error. */
type Call = [method: Method, args: unknown[], result: number | string | undefined]

const E250 = `${'e'.repeat(245)}@b.cd`

/** Calls one after the other, on a table that is empty at first. */
const CALLS: Call[] = [
  ['countUsers', [], 0],
  ['findUserBy', [{ id: 1 }], 'NoResultFound'],
  ['addUser', ['test@test.com', 'SuperHashedPwd'], 1],
  ['addUser', ['test1@test.com', 'SuperHashedPwd'], 2],
  // Emails are the same if they differ only in the case of ASCII letters.
  ['addUser', ['TEST@test.COM', 'x'], 'EmailTaken'],
  ['addUser', ['test@test.com', 'x'], 'EmailTaken'],
  ['findUserBy', [{ email: 'tEsT@TEST.com' }], 1],
  ['findUserBy', [{ email: ' test@test.com' }], 'NoResultFound'],
  ['findUserBy', [{ email: 'test@test.com ' }], 'NoResultFound'],
  ['findUserBy', [{ email: 'test_@test.com' }], 'NoResultFound'],
  ['findUserBy', [{ email: '%' }], 'NoResultFound'],
  ['addUser', ['iq@x', 'x'], 3],
  ['addUser', ['İq@x', 'x'], 4],
  ['addUser', ['ıq@x', 'x'], 5],
  ['addUser', ['IQ@X', 'x'], 'EmailTaken'],
  ['addUser', ['ς@x', 'x'], 6],
  ['addUser', ['σ@x', 'x'], 7],
  ['addUser', ['Σ@x', 'x'], 8],
  ['addUser', ['Σ@X', 'x'], 'EmailTaken'],
  ['addUser', ['é@x', 'x'], 9],
  ['addUser', ['É@x', 'x'], 10],
  ['addUser', ['e\u0301@x', 'x'], 11],
  ['addUser', ['ß@x', 'x'], 12],
  ['addUser', ['ss@x', 'x'], 13],
  ['addUser', ['\u212Aelvin@x', 'x'], 14],
  ['addUser', ['kelvin@x', 'x'], 15],
  ['addUser', ['ﬀ@x', 'x'], 16],
  ['findUserBy', [{ email: 'É@X' }], 10],
  ['findUserBy', [{ email: 'é@X' }], 9],
  ['findUserBy', [{ email: 'ς@X' }], 6],
  ['findUserBy', [{ email: 'İQ@x' }], 4],
  ['findUserBy', [{ email: 'i\u0307q@x' }], 'NoResultFound'],
  ['findUserBy', [{ email: 'SS@x' }], 13],
  ['findUserBy', [{ email: 'KELVIN@x' }], 15],
  ['findUserBy', [{ email: 'ff@x' }], 'NoResultFound'],
  // What a column can hold: 250 characters, not bytes or UTF-16 units; any character but NUL.
  ['addUser', [E250, 'x'.repeat(250)], 17],
  ['addUser', [`e${E250}`, 'x'], 'ValueError'],
  ['addUser', ['a@b', 'x'.repeat(251)], 'ValueError'],
  ['addUser', ['😀'.repeat(250), '😀'.repeat(250)], 18],
  ['addUser', ['😀'.repeat(251), 'x'], 'ValueError'],
  ['findUserBy', [{ email: '😀'.repeat(250) }], 18],
  ['findUserBy', [{ hashed_password: '😀'.repeat(250) }], 18],
  ['addUser', ['', ''], 19],
  ['findUserBy', [{ email: '' }], 19],
  ['addUser', ['\'"\\\n\t{},;--\u0001', "'; drop table users"], 20],
  ['findUserBy', [{ email: '\'"\\\n\t{},;--\u0001' }], 20],
  ['findUserBy', [{ hashed_password: "'; drop table users" }], 20],
  ['findUserBy', [{ email: "' or '1'='1" }], 'NoResultFound'],
  ['addUser', ['null', 'null'], 21],
  ['findUserBy', [{ email: 'null' }], 21],
  ['addUser', [null, 'x'], 'ValueError'],
  ['addUser', ['a@b'], 'ValueError'],
  ['addUser', [1, 'x'], 'ValueError'],
  ['addUser', ['a\0@b', 'x'], 'ValueError'],
  ['addUser', ['a\ud800@b', 'x'], 'ValueError'],
  ['countUsers', [], 21],
  // Searches.
  ['findUserBy', [{}], 'InvalidRequestError'],
  ['findUserBy', [null], 'InvalidRequestError'],
  ['findUserBy', [{ no_email: 'x' }], 'InvalidRequestError'],
  ['findUserBy', [{ email: 'test@test.com', no_email: 'x' }], 'InvalidRequestError'],
  ['findUserBy', [{ toString: 'x' }], 'InvalidRequestError'],
  ['findUserBy', [JSON.parse('{"__proto__":"x"}')], 'InvalidRequestError'],
  ['findUserBy', [{ '1=1 or id': 1 }], 'InvalidRequestError'],
  ['findUserBy', [{ id: 1 }], 1],
  ['findUserBy', [{ id: 22 }], 'NoResultFound'],
  ['findUserBy', [{ id: 0 }], 'NoResultFound'],
  ['findUserBy', [{ id: 2 ** 31 }], 'NoResultFound'],
  ['findUserBy', [{ id: Number.MAX_SAFE_INTEGER }], 'NoResultFound'],
  ['findUserBy', [{ id: 1, email: 'test1@test.com' }], 'NoResultFound'],
  ['findUserBy', [{ id: 1, email: 'TEST@test.com', session_id: null, hashed_password: 'SuperHashedPwd' }], 1],
  ['findUserBy', [{ hashed_password: 'SuperHashedPwd' }], 1],
  ['findUserBy', [{ hashed_password: 'superhashedpwd' }], 'NoResultFound'],
  ['findUserBy', [{ hashed_password: 'SuperHashedPwd', email: 'test1@test.com' }], 2],
  ['findUserBy', [{ session_id: null }], 1],
  ['findUserBy', [{ reset_token: null, session_expires_at: null, reset_expires_at: null }], 1],
  ['findUserBy', [{ email: null }], 'NoResultFound'],
  ['findUserBy', [{ id: null }], 'NoResultFound'],
  // Updates.
  ['updateUser', [1, { hashed_password: 'NewPwd', reset_token: 'token' }], undefined],
  ['findUserBy', [{ hashed_password: 'NewPwd', reset_token: 'token' }], 1],
  ['updateUser', [1, {}], undefined],
  ['updateUser', [1, { id: 1 }], undefined],
  ['updateUser', [1, { id: 2 }], 'ValueError'],
  ['updateUser', [1, { id: '1' }], 'ValueError'],
  ['updateUser', [1, null], 'ValueError'],
  ['updateUser', [1, { no_column: 'x' }], 'ValueError'],
  ['updateUser', [1, { hashed_password: 'Not', no_column: 'x' }], 'ValueError'],
  ['updateUser', [1, { hashed_password: 'Not', email: 'TEST1@test.com' }], 'EmailTaken'],
  ['updateUser', [1, { "hashed_password = 'x' --": 'x' }], 'ValueError'],
  ['updateUser', [1, { toString: 'x' }], 'ValueError'],
  ['updateUser', [1, JSON.parse('{"__proto__":"x"}')], 'ValueError'],
  ['findUserBy', [{ hashed_password: 'Not' }], 'NoResultFound'],
  ['updateUser', [1, { email: 'Test@test.com' }], undefined],
  ['findUserBy', [{ email: 'test@TEST.com' }], 1],
  ['updateUser', [1, { email: 'new@test.com' }], undefined],
  ['findUserBy', [{ email: 'test@test.com' }], 'NoResultFound'],
  ['updateUser', [2, { email: 'TEST@test.com' }], undefined],
  ['findUserBy', [{ email: 'test@test.com' }], 2],
  ['updateUser', [1, { email: 'test@test.com' }], 'EmailTaken'],
  ['updateUser', [9, { email: 'É@x' }], 'EmailTaken'],
  ['updateUser', [9, { email: 'È@x' }], undefined],
  ['findUserBy', [{ email: 'è@x' }], 'NoResultFound'],
  ['updateUser', [99, { hashed_password: 'x' }], 'NoResultFound'],
  ['updateUser', [99, {}], 'NoResultFound'],
  ['updateUser', [2 ** 40, { hashed_password: 'x' }], 'NoResultFound'],
  ['updateUser', ['1', { hashed_password: 'x' }], 'NoResultFound'],
  ['updateUser', [NaN, { hashed_password: 'x' }], 'NoResultFound'],
  ['updateUser', [1, { session_expires_at: -1 }], undefined],
  ['findUserBy', [{ session_expires_at: -1 }], 1],
  ['updateUser', [1, { session_expires_at: Number.MAX_SAFE_INTEGER }], undefined],
  ['findUserBy', [{ session_expires_at: Number.MAX_SAFE_INTEGER }], 1],
  ['updateUser', [1, { session_expires_at: 0 }], undefined],
  ['findUserBy', [{ session_expires_at: 0 }], 1],
  // Conditions.
  ['updateUser', [1, { session_id: 'a' }, { reset_token: 'wrong' }], 'NoResultFound'],
  ['updateUser', [1, { session_id: 'a' }, { reset_token: null }], 'NoResultFound'],
  ['updateUser', [1, { session_id: 'a' }, { reset_token: 'token', session_id: null }], undefined],
  ['updateUser', [1, { session_id: 'b' }, { reset_token: 'token', session_id: null }], 'NoResultFound'],
  ['updateUser', [1, { session_id: 'b' }, { email: 'NEW@test.com' }], undefined],
  ['updateUser', [1, { session_id: 'c' }, { email: 'other@test.com' }], 'NoResultFound'],
  ['updateUser', [1, { session_id: 'c' }, { '1=1 or id': 1 }], 'InvalidRequestError'],
  ['updateUser', [99, { session_id: 'c' }, { '1=1 or id': 1 }], 'InvalidRequestError'],
  ['updateUser', [1, { session_id: 'c' }, { id: 2 }], 'NoResultFound'],
  ['updateUser', [1, { session_id: 'c' }, { id: 1 }], undefined],
  ['updateUser', [1, { session_id: 'b' }, { id: 1 }], undefined],
  ['findUserBy', [{ session_id: 'b' }], 1],
  ['findUserBy', [{ session_id: 'c' }], 'NoResultFound'],
  ['addUser', ['last@x', 'x'], 22],
  ['countUsers', [], 22],
  ['countUsers', [/^x$/], 7],
  ['countUsers', [/^x$/g], 7],
]

/** Calls that give several rows one session or token, on a table of five users. */
const SEVERAL: Call[] = [
  ['updateUser', [3, { session_id: 's', reset_token: 'r' }], undefined],
  ['updateUser', [2, { session_id: 's', reset_token: 'r' }], undefined],
  ['findUserBy', [{ session_id: 's' }], 2],
  ['findUserBy', [{ reset_token: 'r' }], 2],
  ['findUserBy', [{ session_id: 's', reset_token: 'r' }], 2],
  ['findUserBy', [{ session_id: 's', email: '3@X' }], 3],
  ['findUserBy', [{ reset_token: 'r', id: 3 }], 3],
  ['updateUser', [2, { session_id: null, reset_token: null }], undefined],
  ['findUserBy', [{ session_id: 's' }], 3],
  ['findUserBy', [{ reset_token: 'r' }], 3],
  ['updateUser', [5, { session_id: 's', reset_token: 'r' }], undefined],
  ['updateUser', [3, { session_id: 's3' }], undefined],
  ['findUserBy', [{ session_id: 's' }], 5],
  ['findUserBy', [{ session_id: 's3' }], 3],
  ['findUserBy', [{ reset_token: 'r' }], 3],
  ['updateUser', [5, { session_id: 's3' }], undefined],
  ['updateUser', [3, { session_id: 's3' }], undefined],
  ['findUserBy', [{ session_id: 's3' }], 3],
]

/** Values that no column of a type can hold. */
const BAD = {
  integer: ['1', 1.5, NaN, Infinity, 2 ** 53, -(2 ** 53), true, [1], {}, undefined, 1n],
  string: [1, NaN, true, ['x'], {}, undefined, 'nul\0', '\ud800', 'x\udfff', 'x'.repeat(251), Symbol('x')],
}

/** The outcome of a call. */
async function resultOf(db: DB, method: Method, args: unknown[]): Promise<unknown> {
  try {
    const result: unknown = await Reflect.apply(db[method], db, args)
    return result instanceof User ? result.id : result
  } catch (error) {
    return error instanceof Error ? error.name : error
  }
}

/** Makes calls one after the other, and compares their outcomes. */
async function checkCalls(t: Test, db: DB, calls: Call[]): Promise<void> {
  for (const [i, [method, args, result]] of calls.entries()) {
    t.equal(await resultOf(db, method, args), result, `${i}: ${method} ${JSON.stringify(args).slice(0, 80)}`)
  }
}

/** All rows. */
async function dump(db: DB): Promise<User[]> {
  const ids = Array.from({ length: await db.countUsers() }, (_, i) => i + 1)
  return Promise.all(ids.map((id) => db.findUserBy({ id })))
}

/** The columns that the calls set; only these are compared, as a future column may be set from the clock. */
const COMPARED = ['id', 'email', 'hashed_password', 'session_id', 'reset_token', 'session_expires_at'] as const

/** These columns of the rows of the first engine; the rows of the others must have the same values. */
let rows: unknown[][] | undefined

for (const [engine, { urlFor, options = {} }] of Object.entries(ENGINES)) {
  t.test(`${engine}: each call has the same outcome as on every engine`, options, async (t) => {
    const db = dbAt(t, await urlFor(t))
    await checkCalls(t, db, CALLS)
    const before = await dump(db)
    const compared = before.map((user) => COMPARED.map((name) => user[name]))
    rows ??= compared
    t.strictSame(compared, rows, 'the rows are those of the other engines')
    for (const name of COLUMN_NAMES) {
      for (const value of [...BAD[COLUMNS[name].type], ...(COLUMNS[name].nullable ? [] : [null])]) {
        const what = `${name} ${typeof value} ${String(value).slice(0, 10)}`
        t.equal(await resultOf(db, 'findUserBy', [{ [name]: value }]), 'NoResultFound', what)
        t.equal(await resultOf(db, 'findUserBy', [{ id: 1, [name]: value }]), 'NoResultFound', what)
        t.equal(await resultOf(db, 'updateUser', [1, { [name]: value }]), 'ValueError', what)
        t.equal(await resultOf(db, 'updateUser', [1, { reset_token: 'x' }, { [name]: value }]), 'NoResultFound', what)
      }
    }
    t.strictSame(await dump(db), before, 'nothing changed')
  })

  t.test(`${engine}: of several rows with one session, the lowest id is found, then the next`, options, async (t) => {
    const db = dbAt(t, await urlFor(t))
    for (let i = 1; i < 6; i++) await db.addUser(`${i}@x`, 'x')
    await checkCalls(t, db, SEVERAL)
  })

  t.test(`${engine}: of simultaneous registrations, or updates on one condition, one wins`, options, async (t) => {
    const db = dbAt(t, await urlFor(t))
    const added = await Promise.all(['a@b', 'A@b', 'a@B'].map((email) => resultOf(db, 'addUser', [email, 'x'])))
    t.strictSame(added.filter((result) => result === 'EmailTaken').length, 2, 'one registration wins')
    const { id } = await db.findUserBy({ email: 'A@B' })
    await db.updateUser(id, { reset_token: 'token' })
    const updated = await Promise.all(
      [1, 2, 3].map((n) =>
        resultOf(db, 'updateUser', [id, { reset_token: null, session_id: `${n}` }, { reset_token: 'token' }]),
      ),
    )
    t.strictSame(updated.filter((result) => result === undefined).length, 1, 'one use of a token wins')
    t.strictSame(updated.filter((result) => result === 'NoResultFound').length, 2)
    const { session_id } = await db.findUserBy({ id })
    const searches = Array.from({ length: 20 }, (_, i) =>
      resultOf(db, 'findUserBy', [{ session_id: i % 2 === 0 ? session_id : `no ${i}` }]),
    )
    t.strictSame(
      await Promise.all(searches),
      searches.map((_, i) => (i % 2 === 0 ? id : 'NoResultFound')),
    )
  })

  t.test(`${engine}: changes to the caller's object after a call do not reach the store`, options, async (t) => {
    const url = await urlFor(t)
    const first = new DB(url)
    for (const email of ['a@b', 'c@d']) await first.addUser(email, 'x')
    // Calls on a DB that is not open yet wait longest, hence the new one.
    const db = url === 'memory:' ? first : dbAt(t, url)
    if (db !== first) await first.close()
    const attributes: Record<string, unknown> = { session_id: 'one' }
    const one = db.updateUser(1, attributes)
    attributes['session_id'] = 'two'
    const expected: Record<string, unknown> = { email: 'c@d' }
    const two = db.updateUser(2, attributes, expected)
    attributes['session_id'] = 5
    attributes["hashed_password = 'stolen' --"] = 'x'
    expected['email'] = 'a@b'
    const search: Record<string, unknown> = { session_id: 'two' }
    const found = Promise.all([one, two]).then(() => db.findUserBy(search))
    const early = db.findUserBy(expected)
    expected['id = 2 or email'] = 'x'
    await Promise.all([one, two])
    t.equal((await early).id, 1)
    t.equal((await found).id, 2)
    t.match(await dump(db), [{ session_id: 'one' }, { session_id: 'two' }])
    t.notOk((await dump(db)).some(({ hashed_password }) => hashed_password !== 'x'))
    let reads = 0
    const getter = {
      get session_id() {
        return reads++ === 0 ? 'once' : '\ud800'
      },
    }
    await db.updateUser(1, getter)
    t.equal((await db.findUserBy({ id: 1 })).session_id, 'once')
    t.equal(reads, 1)
    await db.close()
  })

  t.test(`${engine}: a row is a copy`, options, async (t) => {
    const db = dbAt(t, await urlFor(t))
    const added = await db.addUser('a@b', 'x')
    await db.updateUser(1, { session_id: 's' })
    added.email = 'changed'
    for (const attributes of [{ id: 1 }, { email: 'a@b' }, { session_id: 's' }]) {
      const found = await db.findUserBy(attributes)
      t.ok(found instanceof User)
      t.strictSame(Object.keys(found), COLUMN_NAMES)
      found.email = 'changed'
    }
    t.equal((await db.findUserBy({ id: 1 })).email, 'a@b')
  })
}

t.test('a URL that fits no engine is refused', async (t) => {
  for (const url of [
    '',
    'file:',
    'mysql://x',
    'users.json',
    'postgres://x?max=0',
    'postgres://x?max=many',
    'postgres://:x:',
    // What a caller in JavaScript may pass.
    null,
    5,
    {},
    Symbol('x'),
  ])
    t.throws(() => Reflect.construct(DB, [url]), ValueError, String(url))
})
