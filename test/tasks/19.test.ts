/** Task 19, "Update password end-point". */
import t from 'tap'
import { type Curled, startForCurl } from '../helper/curl.ts'

/** The token in the answer of `POST /reset_password`. */
function tokenIn({ body }: Curled): string {
  return typeof body === 'object' && body !== null && 'reset_token' in body ? String(body.reset_token) : ''
}

t.test('task 19: PUT /reset_password sets a new password', async (t) => {
  const curl = await startForCurl(t)
  await curl("curl -XPOST localhost:5000/users -d 'email=bob@bob.com' -d 'password=mySuperPwd'")
  const token = tokenIn(await curl("curl -XPOST localhost:5000/reset_password -d 'email=bob@bob.com'"))
  const command = `curl -XPUT localhost:5000/reset_password -d 'email=bob@bob.com' -d 'reset_token=${token}' -d 'new_password=newPwd'`
  t.match(await curl(command), { status: 200, body: { email: 'bob@bob.com', message: 'Password updated' } })
  t.match(await curl(command), { status: 403 })
})
