/** Task 9, "Generate UUIDs". */
import t from 'tap'
import { _generateUuid } from '../../auth.ts'
import { UUID } from '../helper/uuid.ts'

t.test('task 9: _generateUuid returns a new UUID each time', async (t) => {
  t.match(_generateUuid(), UUID)
  t.not(_generateUuid(), _generateUuid())
})
