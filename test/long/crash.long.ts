/** Power cuts, with every write cut off at every byte. */
import t from 'tap'
import { checkStates, recordFolds } from '../helper/crash.ts'
import { tempDir } from '../helper/program.ts'

const everywhere = (length: number) => Array.from({ length }, (_, i) => i + 1)

t.test('a power cut at any byte loses nothing that was acknowledged', async (t) => {
  const { steps, first } = await recordFolds(tempDir(t))
  const { count, wrong } = await checkStates(steps, everywhere, first)
  t.comment(`${count} states`)
  t.ok(count > 10_000)
  t.strictSame(wrong, [])
})
