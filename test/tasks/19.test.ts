/** Task 19, "Update password end-point". */
import t from 'tap'
import { startForCurl } from '../helper/curl.ts'

t.test('task 19: PUT /reset_password sets a new password', async (t) => {
  const { curl, auth } = await startForCurl(t)
  await curl("curl -XPOST localhost:5000/users -d 'email=bob@bob.com' -d 'password=mySuperPwd'")
  const token = await auth.getResetPasswordToken('bob@bob.com')
  const command = `curl -XPUT localhost:5000/reset_password -d 'email=bob@bob.com' -d 'reset_token=${token}' -d 'new_password=newPwd'`
  // Unlike the exercise's, it takes a token only with the email that it was made for.
  t.match(await curl(command.replace('bob@', 'eve@')), { status: 403 })
  t.match(await curl(command), { status: 200, body: { email: 'bob@bob.com', message: 'Password updated' } })
  t.equal(await auth.validLogin('bob@bob.com', 'newPwd'), true)
  t.match(await curl(command), { status: 403 })
})
