/** Task 8, "Credentials validation". */
import t from 'tap'
import { Auth } from '../../auth.ts'

t.test('task 8: validLogin accepts only the right password of a known user', async (t) => {
  const auth = new Auth({ databaseUrl: 'memory:', bcryptCost: 4 })
  const email = 'bob@bob.com'
  const password = 'MyPwdOfBob'
  await auth.registerUser(email, password)
  // Unlike in the exercise, an unknown email takes as long as a wrong password, so nobody learns who is registered.
  t.equal(await auth.validLogin(email, password), true)
  t.equal(await auth.validLogin(email, 'WrongPwd'), false)
  t.equal(await auth.validLogin('unknown@email', password), false)
})
