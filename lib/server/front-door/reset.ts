/** `/forgot` and `/reset`: a new password for those who have forgotten the old one, through a link in a mail. */
import type { IncomingMessage } from 'node:http'
import { field } from '../form.ts'
import { clientOf } from '../head.ts'
import { UnknownToken } from '../../../auth.ts'
import { failAs, type Reply } from '../service.ts'
import { type Door, queryOf, seeOther, submit } from './door.ts'

/** `GET /forgot`. */
export function showForgot({ pages }: Door): Reply {
  return pages.forgot(200)
}

/** `POST /forgot`: has a link sent; the page says nothing of whether the email is known. */
export function forgot(door: Door, request: IncomingMessage): Promise<Reply> {
  const { pages, webhook } = door
  return submit(door, request, pages.forgot, async (form) => {
    const email = field(form, 'email', 400).trim()
    webhook?.send(email)
    return pages.sent(200, { email })
  })
}

/** `GET /reset`: where the link in the mail leads. The token is in the form that comes back, not in a cookie. */
export function showReset({ pages }: Door, request: IncomingMessage): Reply {
  const query = queryOf(request)
  return pages.reset(200, { token: query.get('token') ?? '', email: query.get('email') ?? '' })
}

/** `POST /reset`: sets the password; the user then logs in with it. */
export function reset(door: Door, request: IncomingMessage): Promise<Reply> {
  const { auth, config, pages } = door
  return submit(door, request, pages.reset, async (form) => {
    const email = field(form, 'email', 403).trim()
    const [token, password] = [field(form, 'token', 403), field(form, 'new_password', 400)]
    await auth
      .updatePassword(token, password, email, clientOf(config, request))
      .catch(failAs(UnknownToken, 403, 'this link has been used or has expired'))
    return seeOther('/login')
  })
}
