/** Fifty clients that send until nothing more is taken from them. */
import t from 'tap'
import { compareFloods, LINUX_ONLY } from '../helper/flood.ts'

t.test('fifty clients that send without end and read nothing', LINUX_ONLY, async (t) => {
  await compareFloods(t, 50)
})
