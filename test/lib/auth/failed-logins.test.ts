import t from 'tap'
import { TooManyFailures } from '../../../auth.ts'
import { FailedLogins, FailureWindow } from '../../../lib/auth/failed-logins.ts'

const ADDRESS = /^too many failed logins from your address$/
const ACCOUNT = /^too many failed logins with this email: /
const HOUR_MS = 3_600_000

t.test('failures of an address count for its network, whatever account it tries', async (t) => {
  const failures = new FailedLogins({ loginFailures: 2, accountFailures: 0 })
  failures.add('a@b', '2001:db8::1')
  failures.add('c@d', '2001:db8::2')
  t.throws(() => failures.check('e@f', '2001:db8::3'), { name: 'TooManyFailures', message: ADDRESS, retryAfter: 600 })
  t.doesNotThrow(() => failures.check('a@b', '2001:db8:0:1::1'))
  failures.clear('a@b')
  t.throws(() => failures.check('a@b', '2001:db8::1'), TooManyFailures, 'a reset clears only the account')
})

t.test('without an address, failures count with the account only, however its email is written', async (t) => {
  const failures = new FailedLogins({ loginFailures: 1, accountFailures: 2 })
  failures.add('A@b', undefined)
  t.doesNotThrow(() => failures.check('a@b', undefined))
  failures.add('a@B', undefined)
  t.throws(() => failures.check('a@b', undefined), { message: ACCOUNT, retryAfter: 3600 })
  failures.clear('A@B')
  t.doesNotThrow(() => failures.check('a@b', undefined))
})

t.test('a failure counts for the duration of the window', async (t) => {
  const failures = new FailureWindow(1, 20)
  const began = performance.now()
  failures.add('a')
  while (failures.waitOf('a') > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.ok(performance.now() - began > 10)
})

t.test('a limit of 0 allows any number', async (t) => {
  const failures = new FailureWindow(0, HOUR_MS)
  for (let i = 0; i < 3; i++) failures.add('a')
  t.equal(failures.waitOf('a'), 0)
})

t.test('setting the clock changes nothing', async (t) => {
  const failures = new FailureWindow(1, HOUR_MS)
  const { now } = Date
  t.teardown(() => (Date.now = now))
  failures.add('a')
  for (const shift of [-24 * HOUR_MS, 24 * HOUR_MS]) {
    Date.now = () => now() + shift
    const wait = failures.waitOf('a')
    t.ok(wait > HOUR_MS - 60_000 && wait <= HOUR_MS, `${wait}`)
  }
})

t.test('a bounded number of keys is remembered: the oldest are forgotten first', async (t) => {
  const failures = new FailureWindow(1, HOUR_MS)
  for (let i = 0; i < 200_000; i++) failures.add(`${i}`)
  t.equal(failures.waitOf('0'), 0)
  t.ok(failures.waitOf('199999') > 0)
  failures.clear('199999')
  t.equal(failures.waitOf('199999'), 0)
})
