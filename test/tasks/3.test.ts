/** Task 3, "update user": change a password; an unknown column is a ValueError. */
import t from 'tap'
import { DB } from '../../db.ts'
import { ValueError } from '../../user.ts'

t.test('task 3: updateUser changes a column of one user', async (t) => {
  const myDb = new DB('memory:')
  const user = await myDb.addUser('test@test.com', 'hashedPwd')
  await myDb.updateUser(user.id, { hashed_password: 'NewPwd' })
  // Search again: the row that addUser returned is a copy and stays as it was.
  t.equal((await myDb.findUserBy({ id: user.id })).hashed_password, 'NewPwd')
  const attributes: object = { no_column: 'x' }
  await t.rejects(myDb.updateUser(user.id, attributes), ValueError)
})
