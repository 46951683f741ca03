/** The engine in memory. */
import t from 'tap'
import { EmailTaken } from '../../../lib/db/engine.ts'
import { Table } from '../../../lib/db/table.ts'
import { openWith, row, table } from '../../helper/store.ts'

t.test('after the largest id there is none', async (t) => {
  const last = Number.MAX_SAFE_INTEGER
  const { db, path } = await openWith(t, { '': table(row(last - 1)) })
  t.equal((await db.addUser('a@b', 'x')).id, last)
  await t.rejects(db.addUser('c@d', 'x'), { name: 'ValueError', message: 'id must be a positive integer' })
  await db.updateUser(last, { session_id: 's' })
  t.equal((await db.findUserBy({ session_id: 's' })).id, last)
  await db.close()
  t.ok(path)
})

t.test('an update that expects another id finds nobody', async (t) => {
  const engine = await Table.open(null)
  await engine.insert('a@b', 'x')
  await engine.insert('c@d', 'x')
  t.equal(await engine.update(1, { session_id: 's' }, { id: 2 }), false)
  t.equal(await engine.update(1, { session_id: 's' }, { id: 1 }), true)
  await t.rejects(engine.update(1, { email: 'C@d' }, {}), EmailTaken)
  t.equal(engine.count(), 2)
  await engine.close()
})
