/** Task 4, "Hash password": a salted bcrypt hash. */
import { verify } from '@node-rs/bcrypt'
import t from 'tap'
import { _hashPassword } from '../../auth.ts'

t.test('task 4: _hashPassword returns a bcrypt hash', async (t) => {
  // The exercise returns bytes. Here it is a string, in a promise because hashing takes a fraction of a second.
  const hash = await _hashPassword('Hello Holberton')
  t.match(hash, /^\$2b\$12\$[./A-Za-z0-9]{53}$/)
  t.equal(await verify('Hello Holberton', hash), true)
  t.not(hash, await _hashPassword('Hello Holberton'), 'each has a salt of its own')
})
