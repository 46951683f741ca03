import t from 'tap'
import { FailureWindow } from '../../../lib/auth/failure-window.ts'

const HOUR = 3_600_000

t.test('a key has as many failures as the limit, each key for itself', async (t) => {
  const failures = new FailureWindow(3, HOUR)
  for (let i = 0; i < 3; i++) {
    t.equal(failures.waitOf('a'), 0, `after ${i}`)
    failures.add('a')
  }
  const wait = failures.waitOf('a')
  t.ok(wait > HOUR - 60_000 && wait <= HOUR, `${wait}`)
  t.equal(failures.waitOf('b'), 0)
  failures.clear('a')
  t.equal(failures.waitOf('a'), 0)
})

t.test('a failure counts for its time', async (t) => {
  const failures = new FailureWindow(1, 20)
  failures.add('a')
  const began = performance.now()
  while (failures.waitOf('a') > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.ok(performance.now() - began > 10)
})

t.test('a limit of 0 is none', async (t) => {
  const failures = new FailureWindow(0, HOUR)
  for (let i = 0; i < 3; i++) failures.add('a')
  t.equal(failures.waitOf('a'), 0)
})

t.test('setting the clock changes nothing', async (t) => {
  const failures = new FailureWindow(1, HOUR)
  const { now } = Date
  t.teardown(() => (Date.now = now))
  failures.add('a')
  for (const shift of [-24 * HOUR, 24 * HOUR]) {
    Date.now = () => now() + shift
    const wait = failures.waitOf('a')
    t.ok(wait > HOUR - 60_000 && wait <= HOUR, `${wait}`)
  }
})

t.test('of any number of keys the latest are remembered, the oldest are forgotten', async (t) => {
  const failures = new FailureWindow(1, HOUR)
  const addMany = (name: string) => {
    for (let i = 0; i < 50_000; i++) failures.add(`${name}${i}`)
  }
  failures.add('first')
  addMany('a')
  t.ok(failures.waitOf('first') > 0)
  t.ok(failures.waitOf('a0') > 0)
  failures.clear('first')
  t.equal(failures.waitOf('first'), 0, 'also where it is an older one')
  addMany('b')
  t.equal(failures.waitOf('a0'), 0, 'forgotten')
  t.ok(failures.waitOf('b49999') > 0)
})
