/** Task 13, "Destroy session". */
import t from 'tap'
import { Auth } from '../../auth.ts'

t.test('task 13: destroySession ends the session', async (t) => {
  const auth = new Auth({ databaseUrl: 'memory:', bcryptCost: 4 })
  const { id } = await auth.registerUser('bob@bob.com', 'MyPwdOfBob')
  const sessionId = await auth.createSession('bob@bob.com')
  t.match(await auth.getUserFromSessionId(sessionId), { id })
  // As in the exercise: it returns nothing.
  t.equal(await auth.destroySession(id), undefined)
  t.equal(await auth.getUserFromSessionId(sessionId), null)
})
