/** Task 12, "Find user by session ID". */
import t from 'tap'
import { Auth } from '../../auth.ts'

t.test('task 12: getUserFromSessionId finds the user of a session', async (t) => {
  const auth = new Auth({ databaseUrl: 'memory:', bcryptCost: 4 })
  await auth.registerUser('bob@bob.com', 'MyPwdOfBob')
  const sessionId = await auth.createSession('bob@bob.com')
  // As in the exercise, but for a week only: here a session expires (SESSION_TTL).
  t.match(await auth.getUserFromSessionId(sessionId), { email: 'bob@bob.com' })
  t.equal(await auth.getUserFromSessionId('no such session'), null)
  t.equal(await auth.getUserFromSessionId(null), null)
})
