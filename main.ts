/**
 * The end-to-end script (task 20): a client that takes one user through every endpoint of a running server. It prints
 * nothing when all is well; otherwise it says on stderr which step expected what and got what, and exits with 1.
 */
import { existsSync, realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'

/** The exercise's user, with the old and the new password. */
const EMAIL = 'guillaume@holberton.io'
const PASSWD = 'b4l0u'
const NEW_PASSWD = 't4rt1fl3tt3'

/** Where the server is; an empty variable counts as unset. */
const BASE_URL = process.env['BASE_URL'] || `http://localhost:${process.env['PORT'] || 5000}`

const HELP = `Takes one user through every endpoint of a running server: register, log in, profile, log out, reset the password.
Prints nothing when all is well; otherwise the step that failed, and exits with 1.

  npm start                # in another terminal
  npm run -s main

The server is at BASE_URL, or on localhost at PORT (now ${BASE_URL}).`

/** A step that got something other than it expected; the message is one line. */
class StepFailed extends Error {}

/** Sends a form or nothing. A redirect is not followed, because logOut checks it. */
async function send(
  method: string,
  path: string,
  form?: Record<string, string>,
  sessionId?: string,
): Promise<Response> {
  try {
    return await fetch(new URL(path, BASE_URL), {
      method,
      redirect: 'manual',
      ...(form && { body: new URLSearchParams(form) }),
      ...(sessionId !== undefined && { headers: { cookie: `session_id=${sessionId}` } }),
    })
  } catch (error) {
    const reason = error instanceof TypeError && error.cause instanceof Error ? error.cause : error
    const code = reason instanceof Error && 'code' in reason ? reason.code : reason
    throw new StepFailed(`no server at ${BASE_URL} (${code}): start one with npm start, or set BASE_URL or PORT`)
  }
}

/** Throws unless the response has this status and, if given, this payload. */
async function expect(step: string, response: Response, status: number, payload?: object): Promise<void> {
  const text = (await response.text()).trim()
  if (response.status === status && (payload === undefined || isDeepStrictEqual(parse(text), payload))) return
  const expected = `${status}${payload === undefined ? '' : ` ${JSON.stringify(payload)}`}`
  throw new StepFailed(`${step}: expected ${expected}, got ${response.status} ${text}`)
}

/** The value of a JSON text; any other text as it is. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Registers a user. */
export async function registerUser(email: string, password: string): Promise<void> {
  const response = await send('POST', '/users', { email, password })
  if (response.status === 400 && (await response.clone().text()).includes('email already registered')) {
    throw new StepFailed(
      `registerUser: expected 200, got 400: ${email} is registered already, by an earlier run; ` +
        'stop the server, delete its table and log (rm users.json*), or start it with DATABASE_URL=memory:, and run this again',
    )
  }
  await expect('registerUser', response, 200, { email, message: 'user created' })
}

/** Checks that a wrong password is refused. */
export async function logInWrongPassword(email: string, password: string): Promise<void> {
  await expect('logInWrongPassword', await send('POST', '/sessions', { email, password }), 401)
}

/** Checks that there is no profile without a session. */
export async function profileUnlogged(): Promise<void> {
  await expect('profileUnlogged', await send('GET', '/profile'), 403)
}

/** Logs in; returns the session ID from the cookie. */
export async function logIn(email: string, password: string): Promise<string> {
  const response = await send('POST', '/sessions', { email, password })
  await expect('logIn', response, 200, { email, message: 'logged in' })
  const sessionId = /^session_id=([^;]+)/.exec(response.headers.getSetCookie()[0] ?? '')?.[1]
  if (sessionId === undefined) throw new StepFailed('logIn: expected a session_id cookie, got none')
  return sessionId
}

/** Checks that a session shows its user's profile. */
export async function profileLogged(sessionId: string): Promise<void> {
  await expect('profileLogged', await send('GET', '/profile', undefined, sessionId), 200, { email: EMAIL })
}

/** Logs out and checks that the answer redirects to `/`. */
export async function logOut(sessionId: string): Promise<void> {
  const response = await send('DELETE', '/sessions', undefined, sessionId)
  await expect('logOut', response, 302)
  const location = response.headers.get('location')
  if (location !== '/') throw new StepFailed(`logOut: expected Location: /, got ${location}`)
}

/** Asks for a reset token; returns it. */
export async function resetPasswordToken(email: string): Promise<string> {
  const response = await send('POST', '/reset_password', { email })
  const payload = parse(await response.clone().text())
  const token =
    typeof payload === 'object' && payload !== null && 'reset_token' in payload ? String(payload.reset_token) : ''
  await expect('resetPasswordToken', response, 200, { email, reset_token: token || 'a token' })
  return token
}

/** Sets a new password with a reset token. */
export async function updatePassword(email: string, resetToken: string, newPassword: string): Promise<void> {
  const form = { email, reset_token: resetToken, new_password: newPassword }
  await expect('updatePassword', await send('PUT', '/reset_password', form), 200, {
    email,
    message: 'Password updated',
  })
}

/** Runs all steps in the order of the exercise. */
async function main(): Promise<void> {
  try {
    await registerUser(EMAIL, PASSWD)
    await logInWrongPassword(EMAIL, NEW_PASSWD)
    await profileUnlogged()
    const sessionId = await logIn(EMAIL, PASSWD)
    await profileLogged(sessionId)
    await logOut(sessionId)
    const resetToken = await resetPasswordToken(EMAIL)
    await updatePassword(EMAIL, resetToken, NEW_PASSWD)
    await logIn(EMAIL, NEW_PASSWD)
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}

const [, script, ...options] = process.argv
const isProgram = script !== undefined && existsSync(script) && realpathSync(script) === fileURLToPath(import.meta.url)
if (isProgram && options.some((option) => option === '--help' || option === '-h')) console.log(HELP)
else if (isProgram) void main()
