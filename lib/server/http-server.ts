/** node:http's server with the service's limits, and with an answer for whatever node's parser finds wrong. */
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { AccessLog } from './access-log.ts'
import { Connection } from './connection.ts'
import { declaresTooLarge } from './form.ts'
import { countHeader } from './head.ts'
import { ReplyBatch } from './reply-batch.ts'
import { HttpError, type Reply, replyToError, type Service } from './service.ts'

/** A request that takes longer to arrive is answered 408. */
const REQUEST_TIMEOUT_MS = 10_000
/**
 * A connection is closed after this long without a read or a write, for example when a client does not read its
 * replies. Proxies keep an idle connection for a minute (nginx) or two (Caddy), and must close it first, or their next
 * request finds it closed.
 */
const IDLE_TIMEOUT_MS = 130_000

const HTTP_OPTIONS = {
  requestTimeout: REQUEST_TIMEOUT_MS,
  headersTimeout: REQUEST_TIMEOUT_MS,
  connectionsCheckingInterval: 1000,
  // node's own 400 closes the connection, but the requests behind it would still be carried out.
  requireHostHeader: false,
  // node stops reading once this many bytes of replies are unread (64 KiB by default since node 22).
  highWaterMark: 16_384,
  // The idle timeout covers this, and node's two timers for each request take a twentieth of the CPU.
  keepAliveTimeout: 0,
  // From node 24.12 on, this saves a tenth of the JavaScript that runs for a request without a body.
  optimizeEmptyRequests: true,
}

/** node 24 refuses a request with this many headers; older ones silently drop those that follow. */
const MAX_HEADERS = 1000
const HEAD_TOO_LARGE = new HttpError(431, `the headers are larger than 16 KiB, or there are ${MAX_HEADERS} or more`)

/** Replies to what node's parser and timer find wrong, by error code. */
const PARSE_ERRORS = new Map([
  ['HPE_HEADER_OVERFLOW', HEAD_TOO_LARGE],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', new HttpError(413, 'the chunk extensions are larger than 16 KiB')],
  ['ERR_HTTP_REQUEST_TIMEOUT', new HttpError(408, `the request took longer than ${REQUEST_TIMEOUT_MS / 1000} seconds`)],
])

/**
 * A server that does not listen yet. It logs to stdout where the configuration asks for it.
 * @param replyTo answers a request; may throw
 * @param replyToFailed answers a request for which `replyTo` has thrown; by default with JSON
 */
export function createHttpServer(
  { config, isStopping }: Pick<Service, 'config' | 'isStopping'>,
  replyTo: (request: IncomingMessage) => Promise<Reply> | Reply,
  replyToFailed: (error: unknown, request: IncomingMessage) => Reply = replyToError,
): Server {
  const server = createServer(HTTP_OPTIONS)
  const log = config.accessLog ? new AccessLog(config) : null
  const batch = new ReplyBatch(write)

  /** Writes a reply and logs it, unless the request was found to be broken meanwhile and has had its reply. */
  function write(response: ServerResponse, reply: Reply): void {
    if (response.headersSent) return
    const bytes = writeReply(response, reply)
    if (reply.isLogged !== false) log?.add(response.req, reply, bytes)
  }

  /** Queues a reply. Whether it is its connection's last is decided here, before the next request is carried out. */
  function handOver(response: ServerResponse, reply: Reply): void {
    // node itself makes a 204 the last reply on HTTP/1.0, but only when it is written.
    const isLast = reply.status === 204 && response.req.httpVersion === '1.0'
    if (isLast || isStopping() || !server.listening) response.shouldKeepAlive = false
    batch.add(response, reply)
  }

  /** Replies to a request that failed, unless the client has disconnected, or has had the reply to a broken request. */
  function writeError(response: ServerResponse, error: unknown): void {
    const { headersSent, req } = response
    if (!headersSent && !req.socket.destroyed) handOver(response, replyToFailed(error, req))
  }

  function answer(response: ServerResponse): Promise<void> | void {
    try {
      const { req } = response
      const hosts = countHeader(req, 'host')
      if (hosts > 1) throw new HttpError(400, 'more than one Host header')
      // Among the dropped headers may be the X-Forwarded-For that a proxy has added.
      const isCut = req.rawHeaders.length >= 2 * MAX_HEADERS
      if (isCut || (hosts === 0 && req.httpVersion !== '1.0')) {
        response.shouldKeepAlive = false
        throw isCut ? HEAD_TOO_LARGE : new HttpError(400, 'the Host header is missing')
      }
      const reply = replyTo(req)
      if (!(reply instanceof Promise)) return handOver(response, reply)
      return reply.then((late) => handOver(response, late)).catch((error) => writeError(response, error))
    } catch (error) {
      writeError(response, error)
    }
  }

  function receive(request: IncomingMessage, response: ServerResponse): void {
    Connection.of(request.socket).receive(response, answer)
  }

  server.setTimeout(IDLE_TIMEOUT_MS)
  server.on('close', () => log?.close())
  server.on('request', receive)
  server.on('checkContinue', (request, response) => {
    // Without the 100, node closes the connection after the reply, as the client may leave the body out.
    if (declaresTooLarge(request)) response.shouldKeepAlive = false
    else response.writeContinue()
    receive(request, response)
  })
  // The reply that node would send, but through `Connection`, which carries out requests in order.
  server.on('checkExpectation', (request, response) => {
    Connection.of(request.socket).receive(response, () => {
      response.writeHead(417).end()
      log?.add(request, { status: 417 }, 0)
    })
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
    const connection = Connection.of(socket)
    if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && connection.isHeld) return
    const broken = PARSE_ERRORS.get(error.code ?? '') ?? new HttpError(400, 'this is not HTTP')
    connection.endBroken((response) => batch.add(response, replyToError(broken)))
  })
  return server
}

/** Writes a reply, head and body in one piece. Returns the number of body bytes that are sent. */
function writeReply(response: ServerResponse, { status, body, headers = {} }: Reply): number {
  const isPage = typeof body === 'string'
  const text = isPage ? body : body === undefined ? '' : `${JSON.stringify(body)}\n`
  const length = Buffer.byteLength(text)
  const type = isPage ? 'text/html; charset=utf-8' : 'application/json'
  const head: (string | string[])[] = body === undefined ? [] : ['Content-Type', type]
  // A 204 has no length (RFC 9110, section 8.6).
  if (status !== 204) head.push('Content-Length', `${length}`)
  head.push('Cache-Control', 'no-store', 'X-Content-Type-Options', 'nosniff')
  for (const name of Object.keys(headers)) head.push(name, headers[name] ?? '')
  // In capitals, as Flask's are: clients of the exercise compare them.
  const reason = STATUS_CODES[status]?.toUpperCase() ?? ''
  response.writeHead(status, reason, head).end(text)
  return response.req.method === 'HEAD' ? 0 : length
}
