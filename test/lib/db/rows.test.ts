import t from 'tap'
import { Rows } from '../../../lib/db/rows.ts'
import { User } from '../../../user.ts'
import { row } from '../../helper/store.ts'

/** Rows with these ids, in this order, and the same session and token. */
function rowsOf(...ids: number[]): Rows {
  const rows = new Rows()
  for (const id of ids) t.equal(rows.add(new User(row(id, { session_id: 's', reset_token: 'r' }))), true)
  return rows
}

t.test('a row is found by its id, wherever it stands', async (t) => {
  const rows = rowsOf(2, 3, 7, 8, 1000)
  for (const id of [2, 3, 7, 8, 1000]) t.equal(rows.find({ id })?.id, id)
  for (const id of [1, 4, 5, 6, 9, 999, 1001]) t.equal(rows.find({ id }), undefined)
  t.equal(rows.lastId, 1000)
  t.equal(new Rows().lastId, 0)
})

t.test('of rows with one session or token the lowest id is found, and then the next', async (t) => {
  for (const column of ['session_id', 'reset_token'] as const) {
    for (const order of [
      [1, 2, 3],
      [3, 2, 1],
      [2, 1, 3],
    ]) {
      const rows = rowsOf(1, 2, 3)
      const value = { [column]: column === 'session_id' ? 's' : 'r' }
      t.equal(rows.find({ ...value, hashed_password: 'x' })?.id, 1)
      t.equal(rows.find({ ...value, [column === 'session_id' ? 'reset_token' : 'session_id']: 'other' }), undefined)
      const left = new Set(order)
      for (const id of order) {
        const user = rows.find({ id })
        if (user === undefined) throw new Error('no such row')
        rows.change(user, { [column]: null })
        left.delete(id)
        t.equal(rows.find(value)?.id, [...left].sort()[0], `${order} without ${id}`)
      }
      const last = rows.find({ id: 2 })
      if (last !== undefined) rows.change(last, value)
      t.equal(rows.find(value)?.id, 2, 'and it is found again')
    }
  }
})

t.test('of two rows with one token, the one that matches everything is found', async (t) => {
  const rows = rowsOf(1, 2)
  const second = rows.find({ id: 2 })
  if (second !== undefined) rows.change(second, { hashed_password: 'y' })
  t.equal(rows.find({ reset_token: 'r', hashed_password: 'y' })?.id, 2)
  t.equal(rows.find({ hashed_password: 'x' })?.id, 1)
  t.equal(rows.find({ session_expires_at: 5 }), undefined)
})

t.test('no search finds the last row after it was removed', async (t) => {
  const rows = rowsOf(1, 2)
  rows.removeLast()
  for (const attributes of [{ id: 2 }, { email: 'user2@me.com' }]) t.equal(rows.find(attributes), undefined)
  t.equal(rows.find({ session_id: 's' })?.id, 1)
  rows.removeLast()
  t.equal(rows.find({ session_id: 's' }), undefined)
  t.equal(rows.find({ reset_token: 'r' }), undefined)
  t.equal(rows.lastId, 0)
  const later = new Rows(7)
  t.equal(later.lastId, 7, 'an id that was given does not come back')
  later.add(new User(row(9)))
  t.equal(later.lastId, 9)
})

t.test('a hundred thousand rows that share a session load about as fast as rows with their own', async (t) => {
  const timeOf = (sessionOf: (id: number) => string) => {
    const users = Array.from({ length: 100_000 }, (_, i) => new User(row(i + 1, { session_id: sessionOf(i) })))
    const rows = new Rows()
    const { user: began } = process.cpuUsage()
    for (const user of users) rows.add(user)
    t.equal(rows.find({ session_id: sessionOf(0) })?.id, 1)
    return process.cpuUsage().user - began
  }
  const own = timeOf(String)
  const one = timeOf(() => 's')
  t.ok(one < 20 * own, `${one / 1000} ms beside ${own / 1000}`)
})
