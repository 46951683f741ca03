/** Task 1, "create user": add two users; their ids are 1 and 2. */
import t from 'tap'
import { DB } from '../../db.ts'

t.test('task 1: addUser numbers the users from 1', async (t) => {
  // The exercise's DB deletes all users at every start. new DB() would keep them, in users.json; this one is in memory.
  const myDb = new DB('memory:')
  const user1 = await myDb.addUser('test@test.com', 'SuperHashedPwd')
  t.equal(user1.id, 1)
  const user2 = await myDb.addUser('test1@test.com', 'SuperHashedPwd1')
  t.equal(user2.id, 2)
})
