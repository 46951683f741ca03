/** Task 13, "Destroy session". */
import t from 'tap'
import { Auth } from '../../auth.ts'

t.test('task 13: destroySession ends the session', async (t) => {
  const auth = new Auth({ databaseUrl: 'memory:', bcryptCost: 4 })
  const { id } = await auth.registerUser('bob@bob.com', 'MyPwdOfBob')
  const sessionId = await auth.createSession('bob@bob.com')
  await auth.destroySession(id)
  t.equal(await auth.getUserFromSessionId(sessionId), null)
})
