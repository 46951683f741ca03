/** Task 20, "End-to-end integration test": the script is main.ts; here it runs against a server of its own. */
import t from 'tap'
import { Program } from '../helper/program.ts'
import { startService } from '../helper/service.ts'

t.test('task 20: main.ts prints nothing when all is well', async (t) => {
  const { url, auth } = await startService(t)
  const main = new Program('main.ts', { BASE_URL: url })
  // The exercise's server forgets its users at each start; ours keeps them, in users.json, so main.ts works only once.
  t.strictSame(await main.exited, { code: 0, signal: null })
  t.equal(main.stdout + main.stderr, '')
  t.equal(await auth.validLogin('guillaume@holberton.io', 't4rt1fl3tt3'), true)
})
