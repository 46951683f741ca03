import t from 'tap'
import { duration } from '../../../../lib/server/front-door/page.ts'

t.test('a duration is written as people say it', async (t) => {
  for (const [seconds, words] of [
    [1, '1 second'],
    [90, '90 seconds'],
    [119, '119 seconds'],
    [120, '2 minutes'],
    [121, '3 minutes'],
    [599, '10 minutes'],
    [3600, '60 minutes'],
    [7200, '2 hours'],
    [172_800, '2 days'],
  ] as const) {
    t.equal(duration(seconds), words)
  }
})
