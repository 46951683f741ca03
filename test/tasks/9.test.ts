/** Task 9, "Generate UUIDs". */
import t from 'tap'
import { _generateUuid } from '../../auth.ts'
import { UUID } from '../helper/uuid.ts'

t.test('task 9: _generateUuid returns a new random UUID each time', async (t) => {
  // As in the exercise.
  const [one, other] = [_generateUuid(), _generateUuid()]
  t.match(one, UUID)
  t.not(one.slice(0, 8), other.slice(0, 8))
  t.not(one.slice(-12), other.slice(-12))
})
