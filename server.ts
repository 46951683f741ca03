/**
 * The HTTP side (tasks 6, 7, 11, 14, 15, 17 and 19) on node:http: a request is parsed into plain values at the door, a
 * handler returns its answer, and an error carries its status. Start and stop are at the end.
 */
import { once } from 'node:events'
import { realpathSync } from 'node:fs'
import { createServer, IncomingMessage, type Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Auth, type Client, InvalidInput, Overloaded, StoreError, TooManyFailures, ValueError } from './auth.ts'
import { AccessLog } from './lib/server/access-log.ts'
import { writeTogether } from './lib/server/batched-writes.ts'
import { type Config, readConfig, withoutPassword } from './lib/server/config.ts'
import { field, readForm, saysTooLarge } from './lib/server/form.ts'
import { addressOf, hangUpOf, isFromElsewhere, pathOf, sessionCookie, sessionIdOf } from './lib/server/head.ts'
import { HttpError, messageOf } from './lib/server/http-error.ts'
import { Webhook } from './lib/server/webhook.ts'

export { type Config, readConfig } from './lib/server/config.ts'

/** What a handler returns; `headers` are names and values in turn. Without a body, none is sent. */
type Answer = { status: number; body?: object; headers?: readonly string[] }

/** Answers one method of one path, or throws. */
type Handler = (service: Service, request: IncomingMessage) => Promise<Answer> | Answer

/** What the handlers work with. */
export type Service = { auth: Auth; config: Config; webhook: Webhook | null }

/** The wire contract, by path and method. Maps, because an object would also have a `/__proto__`. */
const ROUTES = new Map<string, Map<string, Handler>>([
  ['/', new Map([['GET', welcome]])],
  ['/users', new Map([['POST', users]])],
  ['/sessions', new Map(Object.entries({ POST: login, DELETE: logout }))],
  ['/profile', new Map([['GET', profile]])],
  ['/reset_password', new Map(Object.entries({ POST: getResetPasswordToken, PUT: updatePassword }))],
])

/** How long a request may take to arrive, in milliseconds, before it is answered 408. */
const REQUEST_TIMEOUT = 10_000
/** How long requests in flight may take at a stop, in milliseconds. */
const STOP_TIMEOUT = 10_000

/** How long a client may take to read the last answer on its connection, in milliseconds. */
const LINGER = 1000

/** `GET /` (task 6). */
function welcome(): Answer {
  return { status: 200, body: { message: 'Bienvenue' } }
}

/** `POST /users` (task 7): registers a user. */
async function users({ auth, config }: Service, request: IncomingMessage): Promise<Answer> {
  const form = await readForm(request)
  const client = clientOf(config, request)
  const registered = auth.registerUser(field(form, 'email'), field(form, 'password'), client)
  const { email } = await refuse(registered, 400, 'email already registered')
  return { status: 200, body: { email, message: 'user created' } }
}

/** `POST /sessions` (task 11): begins a session. */
async function login({ auth, config }: Service, request: IncomingMessage): Promise<Answer> {
  const form = await readForm(request)
  const email = field(form, 'email')
  const sessionId = await auth.logIn(email, field(form, 'password'), clientOf(config, request))
  if (sessionId === null) throw new HttpError(401, 'wrong email or password')
  const headers = ['Set-Cookie', sessionCookie(config, sessionId, config.sessionTtl)]
  return { status: 200, body: { email: await asRegistered(auth, email), message: 'logged in' }, headers }
}

/** `DELETE /sessions` (task 14): ends the session. 302, as the exercise's clients expect, although 303 says it better. */
async function logout({ auth, config }: Service, request: IncomingMessage): Promise<Answer> {
  const user = await auth.getUserFromSessionId(sessionIdOf(request))
  if (user === null) throw new HttpError(403, 'no such session')
  await auth.destroySession(user.id)
  const headers = ['Location', '/', 'Set-Cookie', sessionCookie(config, '', 0)]
  return { status: 302, body: { message: 'logged out' }, headers }
}

/** `GET /profile` (task 15): who is logged in. */
async function profile({ auth }: Service, request: IncomingMessage): Promise<Answer> {
  const user = await auth.getUserFromSessionId(sessionIdOf(request))
  if (user === null) throw new HttpError(403, 'no such session')
  // For a proxy that asks on behalf of an app. No address may break out of its header, so it is percent-encoded.
  const headers = ['Remote-User', `${user.id}`, 'Remote-Email', encodeURI(user.email.toWellFormed())]
  return { status: 200, body: { email: user.email }, headers }
}

/** `POST /reset_password` (task 17): hands out a reset token, or has it sent to its owner. */
async function getResetPasswordToken({ auth, webhook }: Service, request: IncomingMessage): Promise<Answer> {
  const email = field(await readForm(request), 'email')
  if (webhook !== null) {
    webhook.send(email)
    return { status: 200, body: { email, message: 'reset token sent' } }
  }
  const reset_token = await refuse(auth.getResetPasswordToken(email), 403, 'no such user')
  return { status: 200, body: { email: await asRegistered(auth, email), reset_token } }
}

/** `PUT /reset_password` (task 19): sets a new password. */
async function updatePassword({ auth, config }: Service, request: IncomingMessage): Promise<Answer> {
  const form = await readForm(request)
  const email = field(form, 'email')
  const [resetToken, password] = [field(form, 'reset_token'), field(form, 'new_password')]
  const updated = auth.updatePassword(resetToken, password, email, clientOf(config, request))
  await refuse(updated, 403, 'no such reset token')
  return { status: 200, body: { email: await asRegistered(auth, email), message: 'Password updated' } }
}

/** What Auth refuses with `ValueError` gets a status of its own; input that breaks a rule is 400 everywhere. */
async function refuse<T>(promise: Promise<T>, status: number, message: string): Promise<T> {
  try {
    return await promise
  } catch (error) {
    if (error instanceof ValueError && !(error instanceof InvalidInput)) throw new HttpError(status, message)
    throw error
  }
}

/** An email is answered as it was registered, in whatever case it was sent. */
async function asRegistered(auth: Auth, email: string): Promise<string> {
  return (await auth.findUser(email))?.email ?? email
}

/** Who asks. */
function clientOf(config: Config, request: IncomingMessage): Required<Client> {
  return { address: addressOf(config, request), signal: hangUpOf(request.socket) }
}

/** Finds the handler for a request and lets it answer. */
function answer(service: Service, request: IncomingMessage): Promise<Answer> | Answer {
  const { method = '', url = '', httpVersion, headers } = request
  if (httpVersion === '1.1' && headers.host === undefined) throw new HttpError(400, 'the Host header is missing')
  if (isFromElsewhere(request)) throw new HttpError(403, 'a request from another site')
  const path = pathOf(url)
  const methods = path === '*' ? new Map() : ROUTES.get(path)
  if (methods === undefined) throw new HttpError(404, 'no such path')
  const handler = methods.get(method === 'HEAD' ? 'GET' : method)
  if (handler !== undefined) return handler(service, request)
  const allowed = [...methods.keys(), ...(methods.has('GET') ? ['HEAD'] : []), 'OPTIONS'].join(', ')
  if (method === 'OPTIONS') return { status: 204, headers: ['Allow', allowed] }
  throw new HttpError(405, `use one of ${allowed}`, ['Allow', allowed])
}

/** The answer to a request that failed. */
function failure(error: unknown): Answer {
  if (error instanceof HttpError)
    return { status: error.status, body: { message: error.message }, headers: error.headers }
  if (error instanceof InvalidInput) return { status: 400, body: { message: error.message } }
  if (error instanceof TooManyFailures || error instanceof Overloaded) {
    const status = error instanceof Overloaded ? 503 : 429
    return { status, body: { message: error.message }, headers: ['Retry-After', `${error.retryAfter}`] }
  }
  if (error instanceof StoreError) {
    console.error(error.message)
    return { status: 503, body: { message: 'the store is not available' }, headers: ['Retry-After', '1'] }
  }
  console.error('a bug:', error)
  return { status: 500, body: { message: 'internal error' } }
}

/** Sends an answer, its head and body in one write; returns the number of bytes in its body. */
function send(response: ServerResponse, { status, body, headers = [] }: Answer): number {
  const text = body === undefined ? '' : `${JSON.stringify(body)}\n`
  const length = Buffer.byteLength(text)
  const head = body === undefined ? [] : ['Content-Type', 'application/json', 'Content-Length', `${length}`]
  head.push('Cache-Control', 'no-store', 'X-Content-Type-Options', 'nosniff', ...headers)
  response.writeHead(status, head).end(text)
  return response.req.method === 'HEAD' ? 0 : length
}

/** The server; it does not listen yet. */
export function createService(service: Service): Server {
  const log = service.config.accessLog ? new AccessLog() : null
  process.on('exit', () => log?.flush())
  /** The last response of each connection. */
  const pending = new WeakMap<Socket, ServerResponse>()

  /** Answers a request, whatever happens. */
  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const previous = pending.get(request.socket)
    pending.set(request.socket, response)
    // Of pipelined requests, each may need what the one before it does (RFC 9112, section 9.3.2).
    if (previous?.writableFinished === false) await new Promise((resolve) => previous.once('close', resolve))
    try {
      const result = answer(service, request)
      finish(response, result instanceof Promise ? await result : result)
    } catch (error) {
      // Who has hung up, or has been told already that the request is broken, gets no answer.
      if (!response.headersSent && !request.socket.destroyed) finish(response, failure(error))
    }
  }

  /** Sends a response and logs it; the last one of a connection when the server stops. */
  function finish(response: ServerResponse, result: Answer): void {
    if (!server.listening) response.shouldKeepAlive = false
    const bytes = send(response, result)
    if (log === null) return
    const { method, url, httpVersion: version } = response.req
    const address = addressOf(service.config, response.req)
    log.add({ address, method: method ?? '', target: url ?? '', version, status: result.status, bytes })
  }

  /** Answers what is no request in node's eyes, on a connection that ends with it. */
  function reject(socket: Socket, result: Answer): void {
    const response = new ServerResponse(new IncomingMessage(socket))
    response.assignSocket(socket)
    finish(response, result)
    socket.end()
    setTimeout(() => socket.destroy(), LINGER).unref()
  }

  const server = createServer({
    requestTimeout: REQUEST_TIMEOUT,
    headersTimeout: REQUEST_TIMEOUT,
    connectionsCheckingInterval: 1000,
    requireHostHeader: false,
  })
  server.on('request', handle)
  server.on('connection', writeTogether)
  server.on('checkContinue', (request, response) => {
    if (!saysTooLarge(request)) response.writeContinue()
    handle(request, response)
  })
  server.on('checkExpectation', (_request, response) => {
    finish(response, failure(new HttpError(417, 'only 100-continue can be expected')))
  })
  server.on('connect', (_request, socket: Socket) => {
    reject(socket, failure(new HttpError(405, 'this is no proxy', ['Allow', 'GET, HEAD, POST, PUT, DELETE, OPTIONS'])))
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    const response = pending.get(socket)
    const refused = failure(PARSE_ERRORS.get(error.code ?? '') ?? new HttpError(400, 'this is not HTTP'))
    if (!socket.writable || error.code === 'ECONNRESET') socket.destroy()
    else if (response === undefined) reject(socket, refused)
    else if (!response.req.complete) {
      // The request that is being answered is broken itself. Where it has its answer, a second one would be a lie.
      if (response.headersSent) return void socket.destroy()
      response.shouldKeepAlive = false
      finish(response, refused)
    } else if (response.writableFinished) reject(socket, refused)
    else response.once('close', () => reject(socket, refused))
  })
  return server
}

/** What node's parser and its timer find, by the code of their error. */
const PARSE_ERRORS = new Map([
  ['HPE_HEADER_OVERFLOW', new HttpError(431, 'the headers are larger than 16 KiB')],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', new HttpError(413, 'the chunk extensions are larger than 16 KiB')],
  ['ERR_HTTP_REQUEST_TIMEOUT', new HttpError(408, `the request took longer than ${REQUEST_TIMEOUT / 1000} seconds`)],
])

/** Runs the service until SIGINT or SIGTERM. What keeps it from starting is one line on stderr, and exit code 1. */
async function main(): Promise<void> {
  // Who reads what is printed may go; the service goes on.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  try {
    const config = readConfig(process.env)
    const auth = createAuth(config)
    await auth.open()
    const webhook = config.resetWebhook === null ? null : new Webhook(auth, config.resetWebhook)
    const server = createService({ auth, config, webhook })
    const connections = new Set<Socket>()
    server.on('connection', (socket) => {
      connections.add(socket)
      socket.once('close', () => connections.delete(socket))
    })
    const listening = await listen(server, config).catch(async (error) => {
      await auth.close()
      throw error
    })
    const stopping = () => stop(server, connections, auth, webhook)
    process.once('SIGINT', stopping).once('SIGTERM', stopping)
    console.log(`${listening}\n${await summary(auth, config)}`)
  } catch (error) {
    console.error(messageOf(error))
    process.exit(1)
  }
}

/** What an operator wants to see at a start: the store, and what is set that matters. */
async function summary(auth: Auth, config: Config): Promise<string> {
  const settings = [
    `bcrypt cost ${config.bcryptCost}`,
    `cookies ${config.cookieSecure ? 'only over HTTPS' : 'also without HTTPS'}`,
    config.trustProxy ? 'X-Forwarded-For is believed' : 'no proxy is trusted',
    config.loginFailures === 0 ? 'guessing is not limited' : `${config.loginFailures} failed logins in 10 minutes`,
  ]
  const tokens = config.resetWebhook === null ? 'handed to whoever asks; set RESET_WEBHOOK' : 'sent to RESET_WEBHOOK'
  return `Users: ${await auth.countUsers()} in ${withoutPassword(config.databaseUrl)}; ${settings.join(', ')}
Reset tokens are ${tokens}`
}

/** An Auth over the configured store; whether it exists is not known yet. */
function createAuth(config: Config): Auth {
  try {
    return new Auth(config)
  } catch (error) {
    throw new ValueError(`DATABASE_URL=${withoutPassword(config.databaseUrl)}: ${messageOf(error)}`)
  }
}

/** Resolves when the server listens, with where that is. */
async function listen(server: Server, { host, port }: Config): Promise<string> {
  try {
    server.listen({ host, port })
    await once(server, 'listening')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : error
    const why = code === 'EADDRINUSE' ? 'taken already' : `no address to listen on (${code})`
    throw new ValueError(`HOST=${host} PORT=${port}: ${why}; set HOST or PORT to something else`)
  }
  const address = server.address()
  const at = typeof address === 'object' && address !== null ? address.port : port
  return `Listening on http://${host.includes(':') ? `[${host}]` : host}:${at}`
}

/** No new connections; work in flight is finished, the store is closed, and the process exits. */
async function stop(server: Server, connections: Set<Socket>, auth: Auth, webhook: Webhook | null): Promise<void> {
  const cutOff = setTimeout(() => server.closeAllConnections(), STOP_TIMEOUT)
  const closed = new Promise((resolve) => server.close(resolve))
  // A connection on which nothing was ever sent is no work in flight, though node waits for it.
  for (const socket of connections) if (socket.bytesRead === 0) socket.destroy()
  await closed
  await Promise.race([webhook?.settled(), new Promise((resolve) => setTimeout(resolve, STOP_TIMEOUT))])
  clearTimeout(cutOff)
  try {
    await auth.close()
    process.exit(0)
  } catch (error) {
    console.error(messageOf(error))
    process.exit(1)
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await main()
