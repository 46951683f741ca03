/** Task 14, "Log out" at the endpoint. */
import t from 'tap'
import { sessionIn, startForCurl } from '../helper/curl.ts'

t.test('task 14: DELETE /sessions ends the session and redirects to /', async (t) => {
  const { curl } = await startForCurl(t)
  await curl("curl -XPOST localhost:5000/users -d 'email=bob@bob.com' -d 'password=mySuperPwd'")
  const session = sessionIn(
    await curl("curl -XPOST localhost:5000/sessions -d 'email=bob@bob.com' -d 'password=mySuperPwd'"),
  )
  const loggedOut = await curl(`curl -XDELETE localhost:5000/sessions -b "session_id=${session}"`)
  t.match(loggedOut, { status: 302, head: /^Location: \/\r?$/m })
  // Unlike the exercise's, the answer clears the cookie. A browser gets 303, as it would repeat the DELETE after 302.
  t.match(loggedOut.head, /^Set-Cookie: session_id=;.* Max-Age=0/m)
  t.match(await curl(`curl -XDELETE localhost:5000/sessions -b "session_id=${session}"`), { status: 403 })
})
