/** Task 11, "Log in" at the endpoint. */
import t from 'tap'
import { sessionIn, startForCurl } from '../helper/curl.ts'

t.test('task 11: POST /sessions sets the cookie session_id', async (t) => {
  const { curl, auth } = await startForCurl(t)
  await curl("curl -XPOST localhost:5000/users -d 'email=bob@bob.com' -d 'password=mySuperPwd'")
  const loggedIn = await curl("curl -XPOST localhost:5000/sessions -d 'email=bob@bob.com' -d 'password=mySuperPwd'")
  t.match(loggedIn, { status: 200, body: { email: 'bob@bob.com', message: 'logged in' } })
  t.match(await auth.getUserFromSessionId(sessionIn(loggedIn)), { email: 'bob@bob.com' })
  const refused = await curl("curl -XPOST localhost:5000/sessions -d 'email=bob@bob.com' -d 'password=BlaBla'")
  // JSON, where the exercise's 401 is an HTML page.
  t.match(refused, { status: 401, body: { message: 'wrong email or password' } })
})
