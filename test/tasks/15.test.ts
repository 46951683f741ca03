/** Task 15, "User profile" at the endpoint. */
import t from 'tap'
import { sessionIn, startForCurl } from '../helper/curl.ts'

t.test('task 15: GET /profile answers with the email of the session’s user', async (t) => {
  const { curl } = await startForCurl(t)
  await curl("curl -XPOST localhost:5000/users -d 'email=bob@bob.com' -d 'password=mySuperPwd'")
  const session = sessionIn(
    await curl("curl -XPOST localhost:5000/sessions -d 'email=bob@bob.com' -d 'password=mySuperPwd'"),
  )
  const profile = await curl(`curl -XGET localhost:5000/profile -b "session_id=${session}"`)
  t.match(profile, { status: 200, body: { email: 'bob@bob.com' } })
  // JSON, where the exercise's 403 is an HTML page.
  const refused = await curl('curl -XGET localhost:5000/profile -b "session_id=nope"')
  t.match(refused, { status: 403, body: { message: 'unknown or expired session: log in again' } })
})
