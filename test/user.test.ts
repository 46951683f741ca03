import t from 'tap'
import { checkValue, COLUMNS, User, ValueError } from '../user.ts'

const row = { id: 1, email: 'bob@me.com', hashed_password: 'x' }

t.test('a row may leave out its nullable columns', async (t) => {
  const nulls = { session_id: null, reset_token: null, session_expires_at: null, reset_expires_at: null }
  const user = new User({ hashed_password: 'x', email: 'bob@me.com', id: 1 })
  t.same(user, { ...row, ...nulls })
  t.type(user, User)
  const columns = Object.keys(new User({ ...nulls, ...row }))
  t.strictSame(columns, Object.keys(COLUMNS), 'its columns are in the table’s order')
})

t.test('an invalid row is refused with a message that says why', async (t) => {
  for (const [value, message] of [
    [null, /must be an object/],
    ['row', /must be an object/],
    [[], /must be an object/],
    [{ ...row, name: 'Bob' }, /unknown column "name"/],
    [JSON.parse('{"id":1,"email":"a","hashed_password":"b","__proto__":1}'), /unknown column "__proto__"/],
    [{ ...row, id: '1' }, /id must be a positive integer$/],
    [{ ...row, id: 0 }, /id must be/],
    [{ ...row, id: 1.5 }, /id must be/],
    [{ id: 1, email: 'a' }, /hashed_password must be a string of at most 250 characters, well-formed and without NUL$/],
    [{ ...row, email: null }, /email must be/],
    [{ ...row, session_id: 5 }, /session_id must be a string of .*, or null$/],
    [{ ...row, reset_expires_at: 'x' }, /reset_expires_at must be an integer, or null$/],
  ] as const) {
    t.throws(() => new User(value), { name: 'ValueError', message }, String(message))
  }
  t.throws(() => checkValue('id', -1), ValueError)
})
