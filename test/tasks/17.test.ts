/** Task 17, "Get reset password token" at the endpoint. */
import t from 'tap'
import { startForCurl } from '../helper/curl.ts'
import { UUID } from '../helper/uuid.ts'

t.test('task 17: POST /reset_password answers with a token for a known email', async (t) => {
  const { curl, auth } = await startForCurl(t)
  await curl("curl -XPOST localhost:5000/users -d 'email=bob@bob.com' -d 'password=mySuperPwd'")
  // As in the exercise, whoever asks gets the token. With RESET_WEBHOOK, it goes only to the email's owner.
  const { status, body } = await curl("curl -XPOST localhost:5000/reset_password -d 'email=bob@bob.com'")
  t.match({ status, body }, { status: 200, body: { email: 'bob@bob.com', reset_token: UUID } })
  await auth.updatePassword(Object(body).reset_token, 'newPwd')
  t.match(await curl("curl -XPOST localhost:5000/reset_password -d 'email=unknown@bob.com'"), { status: 403 })
})
