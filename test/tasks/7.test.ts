/** Task 7, "Register user" at the endpoint. */
import t from 'tap'
import { startForCurl } from '../helper/curl.ts'

t.test('task 7: POST /users registers an email once', async (t) => {
  const curl = await startForCurl(t)
  const command = "curl -XPOST localhost:5000/users -d 'email=bob@me.com' -d 'password=mySuperPwd'"
  t.match(await curl(command), { status: 200, body: { email: 'bob@me.com', message: 'user created' } })
  t.match(await curl(command), { status: 400, body: { message: 'email already registered' } })
})
