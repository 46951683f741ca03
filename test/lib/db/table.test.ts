/** The engine in memory, here loaded from a file. */
import t from 'tap'
import { openWith, row, table } from '../../helper/store.ts'

t.test('after the largest id no user can be added, as when a sequence is used up', async (t) => {
  const last = Number.MAX_SAFE_INTEGER
  const { db } = await openWith(t, { '': table(row(last - 1)) })
  t.equal((await db.addUser('a@b', 'x')).id, last)
  const full = { name: 'StoreError', message: `no id is left after ${last}: lower that user's id, or last_id` }
  await t.rejects(db.addUser('c@d', 'x'), full)
  await db.updateUser(last, { session_id: 's' })
  t.equal((await db.findUserBy({ session_id: 's' })).id, last)
})
