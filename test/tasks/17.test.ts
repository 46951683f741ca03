/** Task 17, "Get reset password token" at the endpoint. */
import t from 'tap'
import { startForCurl } from '../helper/curl.ts'
import { UUID } from '../helper/uuid.ts'

t.test('task 17: POST /reset_password answers a token for a known email', async (t) => {
  const curl = await startForCurl(t)
  await curl("curl -XPOST localhost:5000/users -d 'email=bob@bob.com' -d 'password=mySuperPwd'")
  const known = await curl("curl -XPOST localhost:5000/reset_password -d 'email=bob@bob.com'")
  t.match(known, { status: 200, body: { email: 'bob@bob.com', reset_token: UUID } })
  t.match(await curl("curl -XPOST localhost:5000/reset_password -d 'email=unknown@bob.com'"), { status: 403 })
})
