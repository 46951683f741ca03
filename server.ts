/**
 * The HTTP side (tasks 6, 7, 11, 14, 15, 17 and 19) on node:http: the table of routes and their handlers, each of which
 * takes a request and returns a reply or throws. `createService` makes a server from them; run as a program, this file
 * starts it.
 */
import { existsSync, realpathSync } from 'node:fs'
import type { IncomingMessage, Server } from 'node:http'
import { fileURLToPath } from 'node:url'
import { Auth, AUTH_OPTIONS } from './auth.ts'
import { completeConfig, type Config, readConfig } from './lib/server/config.ts'
import { emailField, field, readForm } from './lib/server/form.ts'
import { frontDoor } from './lib/server/front-door/front-door.ts'
import { checkOrigin, checkRegistration, clientOf, pathOf } from './lib/server/head.ts'
import { messageOf } from './lib/errors.ts'
import { readEnvironment } from './lib/options.ts'
import { createHttpServer } from './lib/server/http-server.ts'
import { HttpError, type Reply, type Routes, type Service } from './lib/server/service.ts'
import { endSessions, noSession, replyWithUser, sessionCookie, sessionOf } from './lib/server/session.ts'
import { listen, stampErrors, summary } from './lib/server/start.ts'
import { connectionsOf, drain } from './lib/server/stop.ts'
import { Webhook } from './lib/server/webhook.ts'

export { type Config, readConfig } from './lib/server/config.ts'
export { Webhook } from './lib/server/webhook.ts'

/** The exercise's requests, and what answers them. Pages and probes are in lib/server/front-door/. */
const ROUTES = {
  'GET /': welcome,
  'POST /users': users,
  'POST /sessions': login,
  'DELETE /sessions': logout,
  'GET /profile': profile,
  'POST /reset_password': getResetPasswordToken,
  'PUT /reset_password': updatePassword,
}

/** `GET /` (task 6). */
function welcome(): Reply {
  return { status: 200, body: { message: 'Bienvenue' } }
}

/** `POST /users` (task 7): registers a user. The reply waits until the row is stored (lib/db/table.ts says how). */
async function users({ auth, config }: Service, request: IncomingMessage): Promise<Reply> {
  checkRegistration(config, request)
  const form = await readForm(request)
  const client = clientOf(config, request)
  const { email } = await auth.registerUser(emailField(form, 400), field(form, 'password', 400), client)
  return { status: 200, body: { email, message: 'user created' } }
}

/** `POST /sessions` (task 11): begins a session. */
async function login({ auth, config }: Service, request: IncomingMessage): Promise<Reply> {
  const form = await readForm(request)
  const client = clientOf(config, request)
  const session = await auth.startSession(emailField(form, 401), field(form, 'password', 401), client)
  if (session === null) throw new HttpError(401, 'wrong email or password')
  const headers = { 'Set-Cookie': sessionCookie(config, session.sessionId, auth.options.sessionTtl) }
  return { status: 200, body: { email: session.user.email, message: 'logged in' }, headers }
}

/**
 * `DELETE /sessions` (task 14): ends the session. The exercise's clients expect 302, after which a browser would repeat
 * the DELETE on `/`. So a browser, which sends Sec-Fetch-Site, gets 303.
 */
async function logout(service: Service, request: IncomingMessage): Promise<Reply> {
  const { config } = service
  const user = await endSessions(service, request)
  if (user === null) throw noSession(config, request)
  const status = request.headers['sec-fetch-site'] === undefined ? 302 : 303
  const headers = { Location: '/', 'Set-Cookie': sessionCookie(config, '', 0) }
  return { status, body: { message: 'logged out' }, headers, userId: user.id }
}

/** `GET /profile` (task 15): who is logged in. */
async function profile(service: Service, request: IncomingMessage): Promise<Reply> {
  const session = await sessionOf(service, request)
  if (session === null) throw noSession(service.config, request)
  return replyWithUser(session.user)
}

/** `POST /reset_password` (task 17): hands out a reset token, or has it sent to its owner. */
async function getResetPasswordToken({ auth, webhook }: Service, request: IncomingMessage): Promise<Reply> {
  const email = emailField(await readForm(request), 403)
  if (webhook !== null) {
    webhook.send(email)
    return { status: 200, body: { email, message: 'reset token sent' } }
  }
  // Not Auth's getResetPasswordToken, as the reply has the email as it was registered.
  const user = await auth.findUser(email)
  const made = user && (await auth.createResetToken(user))
  if (user === null || made === null) throw new HttpError(403, 'no such user')
  return { status: 200, body: { email: user.email, reset_token: made.resetToken } }
}

/** `PUT /reset_password` (task 19): sets a new password. */
async function updatePassword({ auth, config }: Service, request: IncomingMessage): Promise<Reply> {
  const form = await readForm(request)
  const email = emailField(form, 403)
  const [resetToken, password] = [field(form, 'reset_token', 403), field(form, 'new_password', 403)]
  const user = await auth.resetPassword(resetToken, password, email, clientOf(config, request))
  if (user === null) throw new HttpError(403, 'no such reset token')
  return { status: 200, body: { email: user.email, message: 'Password updated' } }
}

function dispatch(routes: Routes, service: Service, request: IncomingMessage): Promise<Reply> | Reply {
  const { method = '', url = '' } = request
  // Against forms on other sites (CSRF).
  checkOrigin(service.config, request)
  const path = pathOf(url)
  const handler = routes.get(routeOf(method, path))
  if (handler !== undefined) return handler(service, request)
  const methods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'].filter((name) => routes.has(routeOf(name, path)))
  if (methods.length === 0 && path !== '*') throw new HttpError(404, 'no such path')
  const allowed = [...methods, 'OPTIONS'].join(', ')
  if (method === 'OPTIONS') return { status: 204, headers: { Allow: allowed } }
  throw new HttpError(405, `${method} is not allowed here: use one of ${allowed}`, { Allow: allowed })
}

function routeOf(method: string, path: string): string {
  return `${method === 'HEAD' ? 'GET' : method} ${path}`
}

/** The parts of a service; only `auth` is required. */
export type ServiceOptions = {
  /** The rules and their store, which the caller opens and closes. */
  auth: Auth
  /** The settings that differ from the defaults, which are those of `readConfig({})`. */
  config?: Partial<Config>
  /** Where reset tokens are sent; by default, to `config.resetWebhook` where that is set. */
  webhook?: Webhook | null
  /** Aborts some time before `close`: from then on each reply tells its client to close the connection. */
  stopping?: AbortSignal
}

/** A node:http server for all routes; the caller calls `listen` and `close`. Mails may still go out after `close`. */
export function createService({ auth, config: settings = {}, webhook, stopping }: ServiceOptions): Server {
  const config = completeConfig(settings)
  const service: Service = {
    auth,
    config,
    webhook: webhook === undefined ? createWebhook(auth, config) : webhook,
    isStopping: () => stopping?.aborted === true,
  }
  const door = frontDoor(service)
  const routes: Routes = new Map([...Object.entries(ROUTES), ...door.routes])
  return createHttpServer(service, (request) => dispatch(routes, service, request), door.replyToError)
}

function createWebhook(auth: Auth, { resetWebhook }: Config): Webhook | null {
  return resetWebhook === null ? null : new Webhook(auth, resetWebhook)
}

/** Runs the service until SIGINT, SIGTERM or SIGHUP. If it cannot start, prints one line on stderr and exits with 1. */
async function main(): Promise<void> {
  stampErrors()
  // The service keeps running when its output is no longer read.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  try {
    const config = readConfig(process.env)
    const auth = new Auth(readEnvironment(AUTH_OPTIONS, process.env))
    await auth.open()
    const webhook = createWebhook(auth, config)
    const stopping = new AbortController()
    const server = createService({ auth, config, webhook, stopping: stopping.signal })
    const connections = connectionsOf(server)
    const listening = await listen(server, config).catch(async (error) => {
      await auth.close()
      throw error
    })
    const stop = async () => {
      // Under npm, Ctrl-C reaches the process twice; under `timeout`, so does SIGTERM.
      if (stopping.signal.aborted) return
      stopping.abort()
      console.log('stopping')
      await drain(server, connections, webhook)
      await auth.close().catch((error) => {
        console.error(messageOf(error))
        process.exit(1)
      })
      // If stdout is a pipe, its reader gets up to one second to read what is left.
      setTimeout(exit, 1000, auth)
      process.stdout.write('stopped\n', () => exit(auth))
    }
    // A closed terminal sends SIGHUP.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, stop)
    // Counting a large table may exceed the database's time limit for a statement; the service still works.
    const orNull = (error: unknown) => {
      console.error(messageOf(error))
      return null
    }
    const users = await auth.countUsers().catch(orNull)
    const foreignHashes = await auth.countForeignHashes().catch(orNull)
    console.log(`${listening}\n${summary(auth.options.databaseUrl, config, users, foreignHashes)}`)
  } catch (error) {
    console.error(messageOf(error))
    process.exit(1)
  }
}

/**
 * Ends the process. A running hash cannot be stopped, and process.exit() would wait for it; SIGTERM without a handler
 * does not.
 */
function exit(auth: Auth): void {
  if (!auth.isHashing) process.exit(0)
  process.removeAllListeners('SIGTERM')
  process.kill(process.pid, 'SIGTERM')
}

// tsx also runs a script that is named without its extension, or with .js; pm2 imports this file from its own script.
const [, script = ''] = process.argv
const named = existsSync(script) ? script : script.replace(/(\.js)?$/, '.ts')
const started = [named, process.env['pm_exec_path'] ?? '']
if (started.some((path) => existsSync(path) && realpathSync(path) === fileURLToPath(import.meta.url))) void main()
