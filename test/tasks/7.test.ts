/** Task 7, "Register user" at the endpoint. */
import t from 'tap'
import { startForCurl } from '../helper/curl.ts'

t.test('task 7: POST /users registers an email once', async (t) => {
  const { curl, auth } = await startForCurl(t)
  const command = "curl -XPOST localhost:5000/users -d 'email=bob@me.com' -d 'password=mySuperPwd'"
  t.match(await curl(command), { status: 200, body: { email: 'bob@me.com', message: 'user created' } })
  t.match(await auth.findUser('bob@me.com'), { hashed_password: /^\$2b\$/ })
  // Here the same address in capitals is taken as well.
  const again = command.replace('bob', 'BOB')
  t.match(await curl(again), { status: 400, body: { message: 'email already registered' } })
})
