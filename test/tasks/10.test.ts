/** Task 10, "Get session ID". */
import t from 'tap'
import { Auth } from '../../auth.ts'
import { UUID } from '../helper/uuid.ts'

t.test('task 10: createSession returns a session ID for a known email', async (t) => {
  const auth = new Auth({ databaseUrl: 'memory:', bcryptCost: 4 })
  await auth.registerUser('bob@bob.com', 'MyPwdOfBob')
  // The row holds a digest of the ID, so that a stolen table opens no session; the exercise stores the ID itself.
  t.match(await auth.createSession('bob@bob.com'), UUID)
  t.equal(await auth.createSession('unknown@email.com'), null)
})
