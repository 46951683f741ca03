/** The file store under SIGKILL. test/long/kill.long.ts kills it more often. */
import t from 'tap'
import { killAgainAndAgain } from '../../helper/kill.ts'

t.test('SIGKILL under load and in a fold loses nothing that was acknowledged', (t) => killAgainAndAgain(t, 4))
