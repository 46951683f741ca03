/** The race for a lock, a thousand times. */
import t from 'tap'
import { raceForLocks } from '../helper/lock.ts'

t.test('of many processes that take a lock at the same moment, one wins', (t) => raceForLocks(t, 1000))
