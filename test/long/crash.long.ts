/** Power cuts, with every write cut off at every seventh byte. */
import t from 'tap'
import { checkStates, recordFolds } from '../helper/crash.ts'
import { tempDir } from '../helper/program.ts'

/**
 * Cutting at every byte would give about 700,000 states and take half an hour; every seventh takes minutes. As the
 * lines differ in length, the cuts fall on different parts of each.
 */
const everySeventhByte = (length: number) => Array.from({ length: Math.ceil(length / 7) }, (_, i) => 7 * i + 1)

t.test('a power cut in the middle of any write loses nothing that was acknowledged', async (t) => {
  const { steps, first } = await recordFolds(tempDir(t))
  const { count, wrong } = await checkStates(steps, everySeventhByte, first)
  t.comment(`${count} states`)
  t.ok(count > 10_000)
  t.strictSame(wrong, [])
})
