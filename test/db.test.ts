import t, { type Test } from 'tap'
import { DB, EmailTaken, InvalidRequestError, NoResultFound } from '../db.ts'
import { ValueError } from '../user.ts'
import { createDatabase, NEEDS_POSTGRES } from './helper/postgres.ts'
import { tempDir } from './helper/program.ts'

/** Where each engine keeps its table. */
const ENGINES: Record<string, { urlFor: (t: Test) => string | Promise<string>; options?: { skip: string | boolean } }> =
  {
    memory: { urlFor: () => 'memory:' },
    file: { urlFor: (t) => `file:${tempDir(t)}/users.json` },
    postgres: { urlFor: async (t) => (await createDatabase(t)).url, options: NEEDS_POSTGRES },
  }

async function openDB(t: Test, url: string): Promise<DB> {
  const db = new DB(url)
  await db.open()
  t.teardown(() => db.close())
  return db
}

for (const [engine, { urlFor, options = {} }] of Object.entries(ENGINES)) {
  t.test(`${engine}: addUser`, options, async (t) => {
    const db = await openDB(t, await urlFor(t))
    t.match(await db.addUser('test@test.com', 'SuperHashedPwd'), {
      id: 1,
      email: 'test@test.com',
      hashed_password: 'SuperHashedPwd',
      session_id: null,
    })
    t.equal((await db.addUser('test1@test.com', 'SuperHashedPwd1')).id, 2)
    await t.rejects(db.addUser('TEST@test.com', 'x'), EmailTaken)
    t.equal(await db.countUsers(), 2)
    await t.rejects(db.addUser('x'.repeat(251), 'x'), ValueError)
    const race = await Promise.allSettled(['a@b', 'A@b', 'a@B'].map((email) => db.addUser(email, 'x')))
    t.equal(race.filter(({ status }) => status === 'fulfilled').length, 1)
  })

  t.test(`${engine}: findUserBy`, options, async (t) => {
    const db = await openDB(t, await urlFor(t))
    const user = await db.addUser('Test@test.com', 'PwdHashed')
    await db.addUser('other@test.com', 'PwdHashed')
    await db.updateUser(2, { session_id: 's', session_expires_at: 5 })
    t.strictSame(await db.findUserBy({ email: 'tesT@test.com' }), user)
    t.equal((await db.findUserBy({ hashed_password: 'PwdHashed' })).id, 1, 'the first')
    t.equal((await db.findUserBy({ session_id: 's', email: 'OTHER@test.com' })).id, 2)
    t.equal((await db.findUserBy({ session_id: null })).id, 1)
    t.equal((await db.findUserBy({ session_expires_at: 5 })).id, 2)
    await t.rejects(db.findUserBy({ email: 'test2@test.com' }), NoResultFound)
    await t.rejects(db.findUserBy({ id: 1, email: 'other@test.com' }), NoResultFound)
    await t.rejects(db.findUserBy({ id: 3 }), NoResultFound)
    await t.rejects(db.findUserBy({ email: 'nul\0@me.com' }), NoResultFound)
    await t.rejects(db.findUserBy({ email: "' or '1'='1" }), NoResultFound)
    await t.rejects(db.findUserBy({}), InvalidRequestError)
    for (const attributes of [{ no_email: 'x' }, { toString: 'x' }, JSON.parse('{"__proto__":"x"}')]) {
      await t.rejects(db.findUserBy(attributes), InvalidRequestError)
    }
    const found = await db.findUserBy({ id: 1 })
    found.email = 'changed@test.com'
    t.equal((await db.findUserBy({ id: 1 })).email, 'Test@test.com', 'a row is a copy')
  })

  t.test(`${engine}: updateUser`, options, async (t) => {
    const db = await openDB(t, await urlFor(t))
    const { id } = await db.addUser('test@test.com', 'PwdHashed')
    await db.addUser('other@test.com', 'x')
    t.equal(await db.updateUser(id, { hashed_password: 'NewPwd', reset_token: 'token' }), undefined)
    t.match(await db.findUserBy({ id }), { hashed_password: 'NewPwd', reset_token: 'token' })
    const broken: object = { hashed_password: 'NewPwd2', no_column: 'x' }
    await t.rejects(db.updateUser(id, broken), ValueError)
    await t.rejects(db.updateUser(id, { email: 'x'.repeat(251) }), ValueError)
    await t.rejects(db.updateUser(id, { session_expires_at: 0.5 }), ValueError)
    await t.rejects(db.updateUser(id, { id: 9 }), ValueError)
    await t.rejects(db.updateUser(id, { hashed_password: 'x', email: 'Other@test.com' }), EmailTaken)
    t.equal((await db.findUserBy({ id })).hashed_password, 'NewPwd', 'nothing changed')
    await db.updateUser(id, { id, email: 'Test@test.com' })
    t.equal((await db.findUserBy({ email: 'test@TEST.com' })).email, 'Test@test.com')
    await db.updateUser(id, {})
    await t.rejects(db.updateUser(99, { hashed_password: 'x' }), NoResultFound)
    const race = await Promise.allSettled(
      [1, 2, 3].map((n) => db.updateUser(id, { reset_token: null, session_id: `${n}` }, { reset_token: 'token' })),
    )
    t.equal(race.filter(({ status }) => status === 'fulfilled').length, 1, 'a conditional update has one winner')
    await t.rejects(db.findUserBy({ reset_token: 'token' }), NoResultFound)
  })
}

t.test('a URL of no engine', async (t) => {
  for (const url of [
    '',
    'file:',
    'mysql://x',
    'users.json',
    'postgres://x?max=0',
    'postgres://x?max=many',
    'postgres://:x:',
  ])
    t.throws(() => new DB(url), ValueError, url)
})
