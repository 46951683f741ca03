import t from 'tap'
import { TooManyFailures } from '../../../auth.ts'
import { FailedLogins } from '../../../lib/auth/failed-logins.ts'

const ADDRESS = /^too many failed logins from your address$/
const ACCOUNT = /^too many failed logins with this email: /

t.test('an address is counted by its network, whatever account it tries', async (t) => {
  const failures = new FailedLogins({ loginFailures: 2, accountFailures: 0 })
  failures.add('a@b', '2001:db8::1')
  failures.add('c@d', '2001:db8::2')
  t.throws(() => failures.check('e@f', '2001:db8::3'), { name: 'TooManyFailures', message: ADDRESS, retryAfter: 600 })
  t.doesNotThrow(() => failures.check('a@b', '2001:db8:0:1::1'))
  t.doesNotThrow(() => failures.check('a@b', undefined), 'without an address')
  failures.clear('a@b')
  t.throws(() => failures.check('a@b', '2001:db8::1'), TooManyFailures, 'a reset is for the account')
})

t.test('an account is counted whatever the address, and cleared by a reset', async (t) => {
  const failures = new FailedLogins({ loginFailures: 0, accountFailures: 2 })
  failures.add('A@b', '1.1.1.1')
  failures.add('a@B', undefined)
  const refused = { name: 'TooManyFailures', message: ACCOUNT, retryAfter: 3600 }
  for (const address of ['2.2.2.2', undefined]) t.throws(() => failures.check('a@b', address), refused)
  t.doesNotThrow(() => failures.check('b@b', '1.1.1.1'))
  failures.clear('a@b')
  t.doesNotThrow(() => failures.check('a@b', '1.1.1.1'))
})
