/** Task 5, "Register user": the second time, the email is taken. */
import t from 'tap'
import { Auth, ValueError } from '../../auth.ts'

t.test('task 5: registerUser registers an email once', async (t) => {
  // new Auth() works as in the exercise, with users.json and a bcrypt cost of 12; these options are for tests.
  const auth = new Auth({ databaseUrl: 'memory:', bcryptCost: 4 })
  const email = 'me@me.com'
  const password = 'mySecuredPwd'
  t.match(await auth.registerUser(email, password), { id: 1, email, hashed_password: /^\$2b\$/ })
  // Unlike the exercise's, it also refuses an email without an @ and a password that is empty or over 72 bytes.
  const error = await auth.registerUser(email, password).catch((error) => error)
  t.type(error, ValueError)
  t.equal(error.message, 'User me@me.com already exists')
})
