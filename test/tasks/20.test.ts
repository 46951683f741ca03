/** Task 20, "End-to-end integration test": the script is main.ts; here it runs against a server of its own. */
import t from 'tap'
import { Program, startServer } from '../helper/program.ts'

t.test('task 20: main.ts prints nothing when all is well', async (t) => {
  const { url } = await startServer(t)
  const main = new Program('main.ts', { BASE_URL: url })
  t.strictSame(await main.exited, { code: 0, signal: null })
  t.equal(main.stdout + main.stderr, '')
})
