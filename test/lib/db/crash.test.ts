/** Power cuts: opens every state that one may leave on the disk, and expects every acknowledged row to be there. */
import { writeFileSync } from 'node:fs'
import t from 'tap'
import { checkStates, recordFolds, recordFullDisk } from '../../helper/crash.ts'
import { smallDisk } from '../../helper/disk.ts'
import { tempDir } from '../../helper/program.ts'

/** Where a write is cut off here; test/long/crash.long.ts cuts it in many places. */
const halfway = (length: number) => [length >> 1]

t.test('a power cut loses nothing that was acknowledged, over starts, folds and stops', async (t) => {
  const { steps, first } = await recordFolds(tempDir(t))
  const { count, wrong } = await checkStates(steps, halfway, first)
  t.ok(count > 200, `${count} states`)
  t.ok(steps.filter((step) => step.op === 'rename').length >= 9, 'at least three starts and three folds')
  t.strictSame(wrong, [])
})

const { disk, options } = smallDisk(t, '64k')

t.test('a write that was refused on a full disk does not come back after a power cut', options, async (t) => {
  writeFileSync(`${disk}/ballast`, 'x'.repeat(40_000))
  const steps = await recordFullDisk(disk, () => writeFileSync(`${disk}/ballast`, ''))
  const undone = steps.findIndex((step) => step.op === 'truncate')
  t.not(undone, -1)
  // From before the write that failed.
  const { count, wrong } = await checkStates(steps, halfway, undone - 3)
  t.ok(count > 10, `${count} states`)
  t.strictSame(wrong, [])
})
