/**
 * The HTTP side (tasks 6, 7, 11, 14, 15, 17 and 19) on node:http: a request is parsed into plain values at the door, a
 * handler returns its answer, and an error carries its status. Configuration, start and stop are at the end.
 */
import { executionAsyncResource } from 'node:async_hooks'
import { once } from 'node:events'
import { realpathSync } from 'node:fs'
import { createServer, IncomingMessage, type Server, ServerResponse } from 'node:http'
import { isIP, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Auth, type Client, InvalidInput, Overloaded, StoreError, TooManyFailures, ValueError } from './auth.ts'

/** What a handler returns; `headers` are names and values in turn. Without a body, none is sent. */
type Answer = { status: number; body?: object; headers?: readonly string[] }

/** Answers one method of one path, or throws. */
type Handler = (service: Service, request: IncomingMessage) => Promise<Answer> | Answer

/** What the handlers work with. */
type Service = { auth: Auth; config: Config; webhook: Webhook | null }

/** A failure on purpose: its status, its message for the client, and the headers that go with it. */
class HttpError extends Error {
  readonly status: number
  readonly headers: readonly string[]

  /** An answer in the form of an error. */
  constructor(status: number, message: string, headers: readonly string[] = []) {
    super(message)
    this.status = status
    this.headers = headers
  }
}

/** The wire contract, by path and method. Maps, because an object would also have a `/__proto__`. */
const ROUTES = new Map<string, Map<string, Handler>>([
  ['/', new Map([['GET', welcome]])],
  ['/users', new Map([['POST', users]])],
  ['/sessions', new Map(Object.entries({ POST: login, DELETE: logout }))],
  ['/profile', new Map([['GET', profile]])],
  ['/reset_password', new Map(Object.entries({ POST: getResetPasswordToken, PUT: updatePassword }))],
])

/** The largest body, in bytes. */
const BODY_LIMIT = 16 * 1024
/** How long a request may take to arrive, in milliseconds, before it is answered 408. */
const REQUEST_TIMEOUT = 10_000
/** How long requests in flight may take at a stop, in milliseconds. */
const STOP_TIMEOUT = 10_000
/** The longest life of a session or a token, in seconds: ten years. */
const MAX_TTL = 315_360_000
/** How long a client may take to read the last answer on its connection, in milliseconds. */
const LINGER = 1000
/** How long a line of the log may wait for others, in milliseconds, and how many lines wait at most. */
const LOG_DELAY = 100
const LOG_ENTRIES = 512

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

/** The client's address: behind a proxy the right-most of `X-Forwarded-For`, the only one that the proxy itself has written. */
function addressOf({ trustProxy }: Config, { headers, socket }: IncomingMessage): string {
  const last = trustProxy && cutLast(String(headers['x-forwarded-for']))
  return last && isIP(last) ? last : (socket.remoteAddress ?? '-')
}

/** The last one of a list's members (RFC 9110, section 5.6.1). */
function cutLast(list: string): string {
  return list.slice(list.lastIndexOf(',') + 1).trim()
}

const hangUps = new WeakMap<Socket, AbortSignal>()

/** Aborts when the client is gone, so that nothing is hashed for nobody. */
function hangUpOf(socket: Socket): AbortSignal {
  let signal = hangUps.get(socket)
  if (signal === undefined) {
    const controller = new AbortController()
    socket.once('close', () => controller.abort())
    hangUps.set(socket, (signal = controller.signal))
  }
  return signal
}

/** The session's cookie (RFC 6265, section 4.1): out of reach for scripts, and not sent along with other sites' forms. */
function sessionCookie(config: Config, sessionId: string, maxAge: number): string {
  const secure = config.cookieSecure ? '; Secure' : ''
  return `session_id=${sessionId}; HttpOnly; Path=/; SameSite=Lax; Max-Age=${maxAge}${secure}`
}

/** The value, without quotes, of the first cookie that is named `session_id` (RFC 6265, sections 4.1.1 and 5.4). */
function sessionIdOf(request: IncomingMessage): string | undefined {
  const value = /(?:^|;)[ \t]*session_id[ \t]*=([^;]*)/.exec(request.headers.cookie ?? '')?.[1]?.trim()
  return value?.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value
}

/** The fields of a body, by name. */
type Form = ReadonlyMap<string, string>

/** A field that the client has to send. */
function field(form: Form, name: string): string {
  const value = form.get(name)
  if (!value) throw new HttpError(400, `${name} is missing`)
  return value
}

/** The names and values in a body of one media type; throws where the body is broken. */
type Parser = (text: string, contentType: string) => Iterable<[string, unknown]> | Promise<Iterable<[string, unknown]>>

/** The media types that a body may have. */
const PARSERS = new Map<string, Parser>([
  ['application/x-www-form-urlencoded', parseUrlencoded],
  ['multipart/form-data', parseMultipart],
  ['application/json', parseJson],
])

/** Reads a body in any of the three codings. The first value of a repeated field counts; no body is a form without fields. */
async function readForm(request: IncomingMessage): Promise<Form> {
  const { 'content-type': contentType = '', 'content-encoding': encoding = 'identity' } = request.headers
  const parse = PARSERS.get(cut(contentType, ';')[0].trim().toLowerCase())
  const transfer = request.headers['transfer-encoding'] ?? 'chunked'
  if (parse === undefined || encoding.toLowerCase() !== 'identity' || transfer.toLowerCase() !== 'chunked') {
    if (!hasBody(request)) return new Map()
    throw new HttpError(415, `send the fields uncompressed, as one of ${[...PARSERS.keys()].join(', ')}`)
  }
  const body = await readBody(request)
  const form = new Map<string, string>()
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(body)
    for (const [name, value] of await parse(text, contentType)) {
      if (typeof value !== 'string' || !value.isWellFormed()) throw new TypeError(`${name} is not a text`)
      if (!form.has(name)) form.set(name, value)
    }
  } catch (error) {
    throw new HttpError(400, `broken body: ${messageOf(error)}`)
  }
  return form
}

/** The form that browsers and `curl -d` send. Not by URLSearchParams, which lets broken coding pass as something else. */
function parseUrlencoded(text: string): [string, string][] {
  return text.split('&').map((pair) => {
    const [name, value] = cut(pair.replaceAll('+', ' '), '=')
    return [decodeURIComponent(name), decodeURIComponent(value)]
  })
}

/** The form that `curl -F` sends (RFC 7578); files in it are none of ours. */
async function parseMultipart(text: string, contentType: string): Promise<[string, unknown][]> {
  const form = await new Response(text, { headers: { 'content-type': contentType } }).formData()
  return [...form].filter(([, value]) => typeof value === 'string')
}

/** A JSON object of strings, pair by pair, as an object would have the last value of a repeated name. */
function parseJson(text: string): [string, unknown][] {
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('not a JSON object')
  const pairs = Object.entries(value).filter(([, value]) => typeof value !== 'string')
  for (const [, name = '', string = ''] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*:\s*("(?:[^"\\]|\\.)*")/g)) {
    pairs.push([JSON.parse(name), JSON.parse(string)])
  }
  return pairs
}

/** Tells whether a body comes with the request (RFC 9112, section 6.3). */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

/** Tells whether the request says itself that its body is too large. */
function saysTooLarge({ headers }: IncomingMessage): boolean {
  return Number(headers['content-length'] ?? 0) > BODY_LIMIT
}

/** The body's bytes, up to the limit. What comes beyond it is left to node, which drops it until the request times out. */
function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const tooLarge = new HttpError(413, `the body is larger than ${BODY_LIMIT} bytes`)
  if (saysTooLarge(request)) return Promise.reject(tooLarge)
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = []
    let size = 0
    request.on('data', (chunk: Uint8Array) => {
      size += chunk.length
      if (size > BODY_LIMIT) reject(tooLarge)
      else chunks.push(chunk)
    })
    request.on('end', () => resolve(Buffer.concat(chunks)))
    request.on('error', reject)
  })
}

/** The text before the first separator, and the text behind it. */
function cut(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)]
}

/** The path of a request target, which may be absolute (RFC 9112, section 3.2), without its query. */
function pathOf(target: string): string {
  return cut(target.startsWith('/') ? target : target.replace(/^https?:\/\/[^/?]*/i, ''), '?')[0] || '/'
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

/**
 * Tells whether another site makes a browser send this (CSRF), as Go's http.CrossOriginProtection does: a browser says so
 * itself, and who sends neither header, like curl, is none.
 */
function isFromElsewhere({ method = '', headers }: IncomingMessage): boolean {
  if (method === 'GET' || method === 'HEAD' || method === 'OPTIONS') return false
  const { 'sec-fetch-site': site, origin, host = '' } = headers
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  return origin !== undefined && cut(origin, '://')[1].toLowerCase() !== host.toLowerCase()
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

/** What the log says of a request. */
type LogEntry = { address: string; method: string; target: string; version: string; status: number; bytes: number }

/** Request lines on stdout in the Common Log Format, made and written in batches: each on its own costs ten times as much. */
class AccessLog {
  #entries: LogEntry[] = []

  /** Adds a request. */
  add(entry: LogEntry): void {
    const waiting = this.#entries.push(entry)
    if (waiting === 1) setTimeout(() => this.flush(), LOG_DELAY).unref()
    else if (waiting === LOG_ENTRIES) this.flush()
  }

  /** Writes what has come together. */
  flush(): void {
    if (this.#entries.length === 0) return
    const date = new Date().toUTCString().replace(/^\w+, (\d+) (\w+) (\d+) (.*) GMT$/, '$1/$2/$3:$4 +0000')
    const lines = this.#entries.map(({ address, method, target, version, status, bytes }) => {
      // What node's parser could not read has no method.
      const request = method === '' ? '-' : `${method} ${printable(pathOf(target))} HTTP/${version}`
      return `${address} - - [${date}] "${request}" ${status} ${bytes || '-'}\n`
    })
    this.#entries = []
    process.stdout.write(lines.join(''))
  }
}

/** A text with nothing in it that could break a line of the log. */
function printable(text: string): string {
  return /["\\]|[^ -~]/.test(text) ? text.replace(/["\\]|[^ -~]/g, '?') : text
}

/** How often a reset token is sent before it is given up. */
const WEBHOOK_TRIES = 4
/** How long the receiver may take to answer, in milliseconds. */
const WEBHOOK_TIMEOUT = 5000
/** How long after the first failure the next try comes, in milliseconds; the pause doubles each time. */
const WEBHOOK_PAUSE = 500
/** How many reset tokens may be on their way at once. */
const WEBHOOK_LIMIT = 100

/** Sends reset tokens to the operator's mailer, in the background: an answer tells nobody whether an email is known. */
class Webhook {
  readonly #auth: Auth
  readonly #url: string
  readonly #sending = new Set<Promise<void>>()

  /** Sends what `auth` makes to `url`. */
  constructor(auth: Auth, url: string) {
    this.#auth = auth
    this.#url = url
  }

  /** Makes a token for the email, if it is known, and sends it. */
  send(email: string): void {
    if (this.#sending.size >= WEBHOOK_LIMIT)
      return console.error(`RESET_WEBHOOK: dropped, ${WEBHOOK_LIMIT} are waiting`)
    const sending = this.#send(email)
      .catch((error) => console.error(`RESET_WEBHOOK: ${messageOf(error)}`))
      .finally(() => this.#sending.delete(sending))
    this.#sending.add(sending)
  }

  /** Resolves when nothing is on its way. */
  async settled(): Promise<void> {
    await Promise.all(this.#sending)
  }

  /** One token's way; ends when it was received, or throws when it is given up. */
  async #send(asked: string): Promise<void> {
    if ((await this.#auth.findUser(asked)) === null) return
    const reset_token = await this.#auth.getResetPasswordToken(asked)
    const user = await this.#auth.findUser(asked)
    const body = JSON.stringify({ email: user?.email, reset_token, expires_at: user?.reset_expires_at })
    for (let tries = 1; ; tries++) {
      try {
        const signal = AbortSignal.timeout(WEBHOOK_TIMEOUT)
        const headers = { 'Content-Type': 'application/json' }
        const { ok, status } = await fetch(this.#url, { method: 'POST', headers, body, signal, redirect: 'error' })
        if (ok) return
        throw new Error(`the receiver answered ${status}`)
      } catch (error) {
        const reason = error instanceof Error && error.cause instanceof Error ? error.cause : error
        if (tries === WEBHOOK_TRIES) throw new Error(`given up after try ${tries}: ${messageOf(reason)}`)
        console.error(`RESET_WEBHOOK: try ${tries} of ${WEBHOOK_TRIES}: ${messageOf(reason)}`)
      }
      await new Promise((resolve) => setTimeout(resolve, WEBHOOK_PAUSE * 2 ** (tries - 1)))
    }
  }
}

/** The message of whatever was thrown, for people. */
function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || String(error) : String(error)
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

/** What is to be written at the end of this turn of the event loop. */
let writes: (() => void)[] = []

/**
 * Writes the answers of one turn of the event loop one right after the other, so that who reads them is woken up once, not
 * for each. And node hands an answer to its socket as two texts, of which the second is empty: one plain write will do.
 * Either takes a tenth less of all that a busy server does.
 */
function writeTogether(socket: Socket): void {
  const writeAll = socket._writev
  // Other runtimes have sockets of their own.
  if (writeAll === undefined) return
  socket._writev = (chunks, done) => {
    const [first, second] = chunks
    const isOne = chunks.length === 2 && first !== undefined && second?.chunk === ''
    const waiting = writes.push(() => {
      if (isOne) socket._write(first.chunk, first.encoding, done)
      else writeAll.call(socket, chunks, done)
    })
    if (waiting === 1) setImmediate(writeNow)
  }
}

/** Writes what waits. */
function writeNow(): void {
  const now = writes
  writes = []
  for (const write of now) write()
}

/**
 * One of the objects that node makes for each process.nextTick. V8 forgets their shape when it collects garbage while
 * there is none, and from then on nextTick is slow, which takes a quarter of all that a busy server does (node 20).
 */
const kept: object[] = []
process.nextTick(() => kept.push(executionAsyncResource()))

/** What node's parser and its timer find, by the code of their error. */
const PARSE_ERRORS = new Map([
  ['HPE_HEADER_OVERFLOW', new HttpError(431, 'the headers are larger than 16 KiB')],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', new HttpError(413, 'the chunk extensions are larger than 16 KiB')],
  ['ERR_HTTP_REQUEST_TIMEOUT', new HttpError(408, `the request took longer than ${REQUEST_TIMEOUT / 1000} seconds`)],
])

/** The configuration, as SPEC and README have it. */
export type Config = ReturnType<typeof readConfig>

/**
 * Reads the configuration from the environment.
 * @throws {ValueError} names the first variable that is wrong, and its value
 */
export function readConfig(env: Record<string, string | undefined>) {
  const text = (name: string, fallback: string) => {
    if (env[name] === '') throw new ValueError(`${name} is empty: set it or unset it`)
    return env[name] ?? fallback
  }
  const integer = (name: string, fallback: number, min: number, max: number) => {
    const value = text(name, String(fallback))
    if (/^\d{1,10}$/.test(value) && Number(value) >= min && Number(value) <= max) return Number(value)
    throw new ValueError(`${name}=${value}: expected an integer from ${min} to ${max}`)
  }
  const webhook = env['RESET_WEBHOOK']
  if (webhook !== undefined && !(/^https?:\/\//.test(webhook) && URL.canParse(webhook))) {
    throw new ValueError(`RESET_WEBHOOK=${webhook}: expected http://… or https://…`)
  }
  return {
    host: text('HOST', '0.0.0.0'),
    port: integer('PORT', 5000, 0, 65535),
    databaseUrl: text('DATABASE_URL', 'file:users.json'),
    bcryptCost: integer('BCRYPT_COST', 12, 4, 31),
    sessionTtl: integer('SESSION_TTL', 604800, 1, MAX_TTL),
    resetTtl: integer('RESET_TTL', 3600, 1, MAX_TTL),
    loginFailures: integer('LOGIN_FAILURES', 10, 0, 1000),
    trustProxy: integer('TRUST_PROXY', 0, 0, 1) === 1,
    resetWebhook: webhook ?? null,
    cookieSecure: integer('COOKIE_SECURE', 0, 0, 1) === 1,
    accessLog: integer('ACCESS_LOG', 1, 0, 1) === 1,
  }
}

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

/** A URL as it may be shown. */
function withoutPassword(url: string): string {
  return url.replace(/^(\w+:\/\/[^:@/]*):.*@/, '$1:***@')
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
