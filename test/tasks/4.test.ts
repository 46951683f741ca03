/** Task 4, "Hash password": a salted bcrypt hash. */
import t from 'tap'
import { _hashPassword } from '../../auth.ts'

t.test('task 4: _hashPassword returns a bcrypt hash', async (t) => {
  // A string, where the exercise returns bytes; promised, because it takes a fraction of a second.
  t.match(await _hashPassword('Hello Holberton'), /^\$2b\$12\$[./A-Za-z0-9]{53}$/)
})
