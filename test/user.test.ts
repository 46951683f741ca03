import t from 'tap'
import { COLUMNS, checkValue, isColumn, isTooLong, toUser, ValueError } from '../user.ts'

const row = { id: 1, email: 'bob@me.com', hashed_password: 'x' }

t.test('the columns are the exercise’s five, and ours behind them', async (t) => {
  t.strictSame(Object.keys(COLUMNS), [
    'id',
    'email',
    'hashed_password',
    'session_id',
    'reset_token',
    'session_expires_at',
    'reset_expires_at',
  ])
  t.equal(isColumn('email'), true)
  for (const name of ['no_email', 'toString', '__proto__']) t.equal(isColumn(name), false, name)
})

t.test('a row with only the columns that may not be null is complete', async (t) => {
  const nulls = { session_id: null, reset_token: null, session_expires_at: null, reset_expires_at: null }
  t.strictSame(toUser({ hashed_password: 'x', email: 'bob@me.com', id: 1 }), { ...row, ...nulls })
  t.strictSame(Object.keys(toUser({ ...nulls, ...row })), Object.keys(COLUMNS))
})

t.test('what is no row is refused, and the message says why', async (t) => {
  for (const [value, message] of [
    [null, /must be an object/],
    ['row', /must be an object/],
    [[], /must be an object/],
    [{ ...row, name: 'Bob' }, /"name" is no column/],
    [JSON.parse('{"id":1,"email":"a","hashed_password":"b","__proto__":1}'), /"__proto__" is no column/],
    [{ ...row, id: '1' }, /id must be a positive integer$/],
    [{ ...row, id: 0 }, /id must be/],
    [{ ...row, id: 1.5 }, /id must be/],
    [{ id: 1, email: 'a' }, /hashed_password must be a string of at most 250 characters$/],
    [{ ...row, email: null }, /email must be/],
    [{ ...row, session_id: 5 }, /session_id must be a string of at most 250 characters or null$/],
    [{ ...row, reset_expires_at: 'x' }, /reset_expires_at must be an integer or null$/],
  ] as const) {
    t.throws(() => toUser(value), { name: 'ValueError', message }, String(message))
  }
  t.throws(() => checkValue('id', -1), ValueError)
})

t.test('250 characters fit, counted as people count', async (t) => {
  t.equal(isTooLong('x'.repeat(250)), false)
  t.equal(isTooLong('x'.repeat(251)), true)
  t.equal(isTooLong('🙂'.repeat(250)), false)
  t.equal(isTooLong('🙂'.repeat(251)), true)
})
