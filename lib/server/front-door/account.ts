/** `/account`: who is logged in, and a new password for those who know the old one. */
import type { IncomingMessage } from 'node:http'
import { field, type Form } from '../form.ts'
import { clientOf } from '../head.ts'
import { HttpError, type Reply } from '../service.ts'
import { sessionCookie, userOf } from '../session.ts'
import { type Door, seeOther, submit } from './door.ts'
import { noticeOn } from './notice.ts'

const TO_LOGIN = '/login?rd=/account'

/** `GET /account`. */
export async function showAccount({ auth, config, pages }: Door, request: IncomingMessage): Promise<Reply> {
  const user = await userOf(auth, request)
  if (user === null) return seeOther(TO_LOGIN)
  const page = pages.account(200, { email: user.email, notice: noticeOn('/account', config, request) })
  return { ...page, userId: user.id }
}

/** `POST /account`: changes the password; a new session replaces the old one, which somebody else may know. */
export async function changePassword(door: Door, request: IncomingMessage): Promise<Reply> {
  const { auth, config, pages } = door
  const user = await userOf(auth, request)
  if (user === null) return seeOther(TO_LOGIN)
  const work = async (form: Form) => {
    const [password, newPassword] = [field(form, 'password', 401), field(form, 'new_password', 400)]
    const sessionId = await auth.changePassword(user.id, password, newPassword, clientOf(config, request))
    if (sessionId === null) throw new HttpError(401, 'the current password is wrong')
    return seeOther('/account', { 'Set-Cookie': sessionCookie(config, sessionId, config.auth.sessionTtl) })
  }
  return { ...(await submit(door, request, pages.account, work, user.email)), userId: user.id }
}
