/**
 * The end-to-end script (task 20): a client that takes one user from registration to password reset. It prints nothing
 * when all is well; otherwise it says on stderr which step expected what and got what, and exits with 1.
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

const HELP = `Takes one user through a running server: register, log in, show the profile, log out, reset the password.
Prints nothing when all is well; otherwise the step that failed, and exits with 1.

  npm start                # in another terminal
  npm run -s main

The server is at BASE_URL, or on localhost at PORT (now ${BASE_URL}).`

/** A failed step, such as one with an unexpected answer; the message is one line. */
class StepFailed extends Error {}

/** The server's URL, and optionally a form and the session ID for the cookie. */
type RequestParts = { url: string; form?: Record<string, string>; sessionId?: string }

/** Sends a request; a redirect is not followed, because logOut checks it. */
async function send(method: string, path: string, { url, form, sessionId }: RequestParts): Promise<Response> {
  try {
    return await fetch(new URL(path, url), {
      method,
      redirect: 'manual',
      ...(form && { body: new URLSearchParams(form) }),
      ...(sessionId !== undefined && { headers: { cookie: `session_id=${sessionId}` } }),
    })
  } catch (error) {
    throw new StepFailed(`no server at ${url} (${reasonOf(error)}): start one with npm start, or set BASE_URL or PORT`)
  }
}

/** The root cause of an error from fetch, such as a refused connection. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause instanceof Error) return reasonOf(error.cause)
  // If fetch tried several addresses, this is an AggregateError, which has no message.
  return error.message || ('code' in error ? String(error.code) : error.name)
}

/** Throws unless the response has this status and, if given, this payload. */
async function expect(step: string, response: Response, status: number, payload?: object): Promise<void> {
  const text = (await response.text()).trim()
  if (response.status === status && (payload === undefined || isDeepStrictEqual(parse(text), payload))) return
  const expected = `${status}${payload === undefined ? '' : ` ${JSON.stringify(payload)}`}`
  throw new StepFailed(`${step}: expected ${expected}, got ${response.status} ${text}`)
}

/** The value of a JSON text; any other text is returned unchanged. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Registers a user; if an earlier run did so already, the error says how to start over. */
export async function registerUser(email: string, password: string, url = BASE_URL): Promise<void> {
  const response = await send('POST', '/users', { url, form: { email, password } })
  if (response.status === 400 && (await response.clone().text()).includes('email already registered')) {
    throw new StepFailed(
      `registerUser: expected 200, got 400: ${email} is registered already, by an earlier run; ` +
        'stop the server, delete its table and log (rm users.json*), or start it with DATABASE_URL=memory:, and run this again',
    )
  }
  await expect('registerUser', response, 200, { email, message: 'user created' })
}

/** Checks that a wrong password is refused. */
export async function logInWrongPassword(email: string, password: string, url = BASE_URL): Promise<void> {
  await expect('logInWrongPassword', await send('POST', '/sessions', { url, form: { email, password } }), 401)
}

/** Checks that there is no profile without a session. */
export async function profileUnlogged(url = BASE_URL): Promise<void> {
  await expect('profileUnlogged', await send('GET', '/profile', { url }), 403)
}

/** Logs in; returns the session ID from the cookie. */
export async function logIn(email: string, password: string, url = BASE_URL): Promise<string> {
  const response = await send('POST', '/sessions', { url, form: { email, password } })
  await expect('logIn', response, 200, { email, message: 'logged in' })
  const sessionId = /^session_id=([^;]+)/.exec(response.headers.getSetCookie()[0] ?? '')?.[1]
  if (sessionId === undefined) throw new StepFailed('logIn: expected a session_id cookie, got none')
  return sessionId
}

/** Checks that a session shows its user's profile. */
export async function profileLogged(sessionId: string, url = BASE_URL): Promise<void> {
  await expect('profileLogged', await send('GET', '/profile', { url, sessionId }), 200, { email: EMAIL })
}

/** Logs out and checks that the answer redirects to `/`. */
export async function logOut(sessionId: string, url = BASE_URL): Promise<void> {
  const response = await send('DELETE', '/sessions', { url, sessionId })
  await expect('logOut', response, 302)
  const location = response.headers.get('location')
  if (location !== '/') throw new StepFailed(`logOut: expected Location: /, got ${location}`)
}

/** Asks for a reset token; returns it. */
export async function resetPasswordToken(email: string, url = BASE_URL): Promise<string> {
  const response = await send('POST', '/reset_password', { url, form: { email } })
  const payload = parse(await response.clone().text())
  const token =
    typeof payload === 'object' && payload !== null && 'reset_token' in payload ? String(payload.reset_token) : ''
  await expect('resetPasswordToken', response, 200, { email, reset_token: token || 'a token' })
  return token
}

/** Sets a new password with a reset token. */
export async function updatePassword(
  email: string,
  resetToken: string,
  newPassword: string,
  url = BASE_URL,
): Promise<void> {
  const form = { email, reset_token: resetToken, new_password: newPassword }
  await expect('updatePassword', await send('PUT', '/reset_password', { url, form }), 200, {
    email,
    message: 'Password updated',
  })
}

/**
 * Takes the exercise's user through all steps, in the exercise's order.
 * @throws {Error} at the first step that fails; the message is one line
 */
export async function run(url = BASE_URL): Promise<void> {
  await registerUser(EMAIL, PASSWD, url)
  await logInWrongPassword(EMAIL, NEW_PASSWD, url)
  await profileUnlogged(url)
  const sessionId = await logIn(EMAIL, PASSWD, url)
  await profileLogged(sessionId, url)
  await logOut(sessionId, url)
  const resetToken = await resetPasswordToken(EMAIL, url)
  await updatePassword(EMAIL, resetToken, NEW_PASSWD, url)
  await logIn(EMAIL, NEW_PASSWD, url)
}

/** Runs the script, or prints `HELP`; the exit code is 1 when a step failed. */
async function main(): Promise<void> {
  if (process.argv.slice(2).some((option) => option === '--help' || option === '-h')) return console.log(HELP)
  try {
    await run()
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}

// tsx also runs a script that is named without its extension, or with .js; pm2 imports this file from its own script.
const [, script = ''] = process.argv
const named = existsSync(script) ? script : script.replace(/(\.js)?$/, '.ts')
const started = [named, process.env['pm_exec_path'] ?? '']
if (started.some((path) => existsSync(path) && realpathSync(path) === fileURLToPath(import.meta.url))) void main()
