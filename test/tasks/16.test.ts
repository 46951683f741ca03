/** Task 16, "Generate reset password token". */
import t from 'tap'
import { Auth, UnknownEmail } from '../../auth.ts'
import { UUID } from '../helper/uuid.ts'

t.test('task 16: getResetPasswordToken returns a token for a known email', async (t) => {
  const auth = new Auth({ databaseUrl: 'memory:', bcryptCost: 4 })
  await auth.registerUser('bob@bob.com', 'MyPwdOfBob')
  const token = await auth.getResetPasswordToken('bob@bob.com')
  t.match(token, UUID)
  // As with sessions, the row holds a digest of the token. The token expires after an hour.
  t.not((await auth.findUser('bob@bob.com'))?.reset_token, token)
  await auth.updatePassword(token, 'NewPwdOfBob')
  // A ValueError, as in the exercise.
  await t.rejects(auth.getResetPasswordToken('unknown@email.com'), UnknownEmail)
})
