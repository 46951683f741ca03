/** Task 0, "User model": print the table's name and its columns. */
import t from 'tap'
import { COLUMNS, TABLE } from '../../user.ts'

t.test('task 0: the table is called users and starts with the exercise’s five columns', async (t) => {
  t.equal(TABLE, 'users') // User.__tablename__ in the exercise
  const columns = Object.entries(COLUMNS).map(([name, { type, nullable }]) => `${TABLE}.${name}: ${type} ${nullable}`)
  t.strictSame(columns.slice(0, 5), [
    'users.id: integer false',
    'users.email: string false',
    'users.hashed_password: string false',
    'users.session_id: string true',
    'users.reset_token: string true',
  ])
  // Ours has two columns more: when the session and the reset token expire.
  t.strictSame(Object.keys(COLUMNS).slice(5), ['session_expires_at', 'reset_expires_at'])
})
