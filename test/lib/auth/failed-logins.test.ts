import t from 'tap'
import { TooManyFailures } from '../../../auth.ts'
import { FailedLogins } from '../../../lib/auth/failed-logins.ts'

t.test('of any number of addresses the latest are remembered, the oldest are forgotten', async (t) => {
  const failures = new FailedLogins(1)
  const failMany = (network: number) => {
    for (let i = 0; i < 50_000; i++) failures.add(`${network}.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)
  }
  failures.add('first')
  failMany(1)
  t.throws(() => failures.check('first'), TooManyFailures)
  failMany(2)
  t.doesNotThrow(() => failures.check('first'), 'forgotten')
})
