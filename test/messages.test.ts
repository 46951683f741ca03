/** The messages that tell a client what to correct: each request, and its message word for word. */
import t from 'tap'
import { startService } from './helper/service.ts'

const FORM = 'application/x-www-form-urlencoded'
const TYPES = 'application/x-www-form-urlencoded, multipart/form-data, application/json'
const BROKEN = 'malformed body:'
const STRAY = 'contains a stray %; write it as %25 (curl: --data-urlencode)'
const BREAK = 'contains a line break; remove it (curl: -d @FILE) or write it as %0A'
const AS_JSON = 'it looks like JSON; send it with Content-Type: application/json'
const PLUS = 'email contains a space; in a form, write + as %2B (curl: --data-urlencode)'

/** Method and path, Content-Type (`cookie`: none, but the cookie of an old session), body; status, message. */
const REQUESTS = [
  ['POST /users', FORM, '', 400, 'email is missing'],
  ['POST /users', FORM, 'email=a@b.c&password=', 400, 'password is missing'],
  ['POST /sessions', FORM, 'password=x', 401, 'email is missing'],
  ['POST /sessions', FORM, 'email=a@b.c', 401, 'password is missing'],
  ['POST /reset_password', FORM, 'x=y', 403, 'email is missing'],
  ['PUT /reset_password', FORM, 'email=a@b.c', 403, 'reset_token is missing'],
  ['PUT /reset_password', FORM, 'email=a@b.c&reset_token=x', 403, 'new_password is missing'],
  ['POST /users', FORM, 'email=a@b.c&password=100%', 400, `${BROKEN} password ${STRAY}`],
  ['POST /users', FORM, 'email=%ff', 400, `${BROKEN} email is not valid UTF-8`],
  ['POST /users', FORM, '%=1', 400, `${BROKEN} the name of a field ${STRAY}`],
  ['POST /users', FORM, '{"email":"a@b.c","password":"x"}', 400, `${BROKEN} ${AS_JSON}`],
  ['POST /users', FORM, 'email=a+tag@c.d&password=x', 400, PLUS],
  ['POST /sessions', FORM, 'email=a+tag@c.d&password=x', 401, PLUS],
  ['POST /users', FORM, 'email=a@b.c&password=x\n', 400, `${BROKEN} password ${BREAK}`],
  ['POST /users', 'application/json', '{"email":1}', 400, `${BROKEN} email must be a string`],
  ['POST /users', 'application/json', '[]', 400, `${BROKEN} expected a JSON object`],
  ['POST /users', 'text/plain', 'x', 415, `Content-Type text/plain is not supported; use one of ${TYPES}`],
  ['POST /users', '', 'email=a@b.c', 415, `a body without Content-Type is not supported; use one of ${TYPES}`],
  ['GET /profile', '', '', 403, 'no session_id cookie: log in first'],
  ['GET /profile', 'cookie', '', 403, 'unknown or expired session: log in again'],
  ['DELETE /sessions', '', '', 403, 'no session_id cookie: log in first'],
  ['DELETE /sessions', 'cookie', '', 403, 'unknown or expired session: log in again'],
] as const

t.test('each faulty request gets a message that says what is wrong', async (t) => {
  const { url } = await startService(t, { LOGIN_FAILURES: '1' })
  for (const [line, type, body, status, message] of REQUESTS) {
    const [method = '', path = ''] = line.split(' ')
    const headers: Record<string, string> =
      type === 'cookie' ? { cookie: 'session_id=old' } : type === '' ? {} : { 'content-type': type }
    // Bytes, as fetch gives a string a Content-Type of its own.
    const bytes = method === 'GET' ? {} : { body: Buffer.from(body) }
    const response = await fetch(url + path, { method, headers, ...bytes })
    t.strictSame([response.status, await response.json()], [status, { message }], `${line} ${body}`)
  }
})

t.test('a missing field does not count as a failed login', async (t) => {
  const { url } = await startService(t, { LOGIN_FAILURES: '1' })
  for (const body of ['email=a@b.c', 'password=x', 'email=a+@b.c&password=x', 'email=a@b.c&password=x']) {
    const response = await fetch(`${url}/sessions`, { method: 'POST', headers: { 'content-type': FORM }, body })
    t.equal(response.status, 401, body)
  }
})
