/** Task 2, "Find user": find one, find none, search by an unknown column. */
import t from 'tap'
import { DB, InvalidRequestError, NoResultFound } from '../../db.ts'

t.test('task 2: findUserBy finds a user or throws', async (t) => {
  const myDb = new DB('memory:')
  const user = await myDb.addUser('test@test.com', 'PwdHashed')
  // Python's keyword arguments are an object here. A row is a copy: changing it changes nothing in the table.
  const found = await myDb.findUserBy({ email: 'test@test.com' })
  t.equal(found.id, user.id)
  await t.rejects(myDb.findUserBy({ email: 'test2@test.com' }), NoResultFound)
  // TypeScript refuses an unknown column already; a program in JavaScript gets the error of the exercise.
  const attributes: object = { no_email: 'test@test.com' }
  await t.rejects(myDb.findUserBy(attributes), InvalidRequestError)
})
