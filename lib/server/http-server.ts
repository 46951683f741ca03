/** node:http's server with the service's limits, and with an answer for whatever node's parser finds wrong. */
import { createServer, IncomingMessage, type Server, ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { AccessLog } from './access-log.ts'
import type { Config } from './config.ts'
import { declaresTooLarge } from './form.ts'
import { addressOf } from './head.ts'
import { keepNextTickFast } from './next-tick.ts'
import { Pipeline } from './pipeline.ts'
import { readInPieces } from './read-in-pieces.ts'
import { ReplyBatch } from './reply-batch.ts'
import { HttpError, type Reply, replyToError } from './service.ts'

/** How long a request may take to arrive, in milliseconds, before it is answered 408. */
const REQUEST_TIMEOUT = 10_000
/**
 * How long nothing may be read or written on a connection, in milliseconds: a client has to read its replies. Proxies keep an
 * unused connection for a minute, and must be the first to close it, or the next request may meet a closed one.
 */
const IDLE_TIMEOUT = 75_000
/** How long a client may take to read the last reply on its connection, in milliseconds. */
const LINGER = 1000

/** What node's parser and its timer find, by the code of their error. */
const PARSE_ERRORS = new Map([
  ['HPE_HEADER_OVERFLOW', new HttpError(431, 'the headers are larger than 16 KiB')],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', new HttpError(413, 'the chunk extensions are larger than 16 KiB')],
  ['ERR_HTTP_REQUEST_TIMEOUT', new HttpError(408, `the request took longer than ${REQUEST_TIMEOUT / 1000} seconds`)],
])

/** The service behind the server. */
export type Responder = {
  /** Answers a request; may throw. */
  replyTo(request: IncomingMessage): Promise<Reply> | Reply
  /** Tells whether replies are the last ones of their connections. */
  isStopping(): boolean
}

const PIPELINE = Symbol('pipeline')
/** A socket with the pipeline of its requests. */
type Connection = Socket & { [PIPELINE]?: Pipeline }

/** A server that does not listen yet. It logs to stdout where the configuration asks for it. */
export function createHttpServer({ replyTo, isStopping }: Responder, config: Config): Server {
  const log = config.accessLog ? new AccessLog() : null
  const batch = new ReplyBatch(write)

  /** Writes a reply and logs it. */
  function write(response: ServerResponse, reply: Reply): void {
    if (isStopping()) response.shouldKeepAlive = false
    const bytes = writeReply(response, reply)
    if (log === null || reply.isLogged === false) return
    const { method, url, httpVersion: version } = response.req
    const address = addressOf(config, response.req)
    const { status, userId } = reply
    log.add({ address, userId, method: method ?? '', target: url ?? '', version, status, bytes })
  }

  /** A client that has disconnected, or knows already that its request is broken, gets no reply. */
  function writeError(response: ServerResponse, error: unknown): void {
    if (!response.headersSent && !response.req.socket.destroyed) batch.add(response, replyToError(error))
  }

  const steps = { replyTo, write: batch.add.bind(batch), writeError }
  const pipelineOf = (socket: Connection) => (socket[PIPELINE] ??= new Pipeline(steps))

  /** The pipeline of a response's connection. If another response comes before it, the client pipelines. */
  function pipelineFor(response: ServerResponse): Pipeline {
    const { socket } = response.req
    const pipeline = pipelineOf(socket)
    if (response.socket === null && !pipeline.isInPieces) {
      pipeline.isInPieces = true
      readInPieces(socket)
    }
    return pipeline
  }

  function receive(request: IncomingMessage, response: ServerResponse): void {
    const pipeline = pipelineFor(response)
    if (pipeline.isClosing || pipeline.add(response)) return
    pipeline.isClosing = true
    // Not at once, as node starts to read again at the end of each request.
    process.nextTick(stopReading, request.socket)
    afterReplies(pipeline, () => linger(request.socket))
  }

  /** Replies to what node does not take for a request, and closes the connection. */
  function closeWith(socket: Socket, reply: Reply): void {
    const response = new ServerResponse(new IncomingMessage(socket))
    response.assignSocket(socket)
    write(response, reply)
    linger(socket)
  }

  const limits = {
    requestTimeout: REQUEST_TIMEOUT,
    headersTimeout: REQUEST_TIMEOUT,
    connectionsCheckingInterval: 1000,
    requireHostHeader: false,
    // So many bytes of replies may wait for a client before node stops reading from it; node 22 and later would allow 64 KiB.
    highWaterMark: 16_384,
    // The idle timeout covers this, and node's two timers for each request cost a twentieth of it.
    keepAliveTimeout: 0,
    // node 24.12 and later: a request without a body costs a tenth less JavaScript.
    optimizeEmptyRequests: true,
  }
  const server = createServer(limits)
  server.setTimeout(IDLE_TIMEOUT)
  keepNextTickFast()
  server.on('close', () => log?.close())
  server.on('request', receive)
  server.on('checkContinue', (request, response) => {
    if (!declaresTooLarge(request)) response.writeContinue()
    receive(request, response)
  })
  server.on('checkExpectation', (_request, response) => {
    pipelineFor(response).last = response
    writeError(response, new HttpError(417, 'only 100-continue can be expected'))
  })
  server.on('connect', (request) => {
    const { socket } = request
    // node has taken its own listeners away.
    for (const end of ['error', 'timeout']) socket.on(end, () => socket.destroy())
    // And the parser, which may be another connection's by now.
    socket.removeAllListeners('data')
    const allowed = 'GET, HEAD, POST, PUT, DELETE, OPTIONS'
    const reply = replyToError(new HttpError(405, 'this is not a proxy', { Allow: allowed }))
    afterReplies(pipelineOf(socket), () => closeWith(socket, reply))
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
    const pipeline = pipelineOf(socket)
    if (pipeline.isClosing) return
    pipeline.isClosing = true
    stopReading(socket)
    const broken = PARSE_ERRORS.get(error.code ?? '') ?? new HttpError(400, 'this is not HTTP')
    const { last } = pipeline
    if (last === null || last.req.complete) {
      afterReplies(pipeline, () => closeWith(socket, replyToError(broken)))
    } else if (last.headersSent) {
      // The broken request has its reply already: a second one would pass for that to another request.
      afterReplies(pipeline, () => linger(socket))
    } else {
      last.shouldKeepAlive = false
      writeError(last, broken)
    }
  })
  return server
}

/** Calls back when every reply of a connection has been sent; never, when the client disconnects before. */
function afterReplies({ last }: Pipeline, callback: () => void): void {
  if (last === null || last.writableFinished) callback()
  else last.once('finish', callback)
}

/** Takes the connection away from node's parser, which would go on with whatever comes in. */
function stopReading(socket: Socket): void {
  socket.removeAllListeners('data')
  socket.on('data', () => {})
  socket.pause()
}

/**
 * Closes a connection in two steps (RFC 9112, section 9.6): closed at once, with bytes of the client still unread, it would be
 * reset, and the client might lose the last replies.
 */
function linger(socket: Socket): void {
  socket.resume()
  socket.end()
  setTimeout(() => socket.destroy(), LINGER).unref()
}

/** The reason phrases, in capitals as Flask's are: clients of the exercise compare them. */
const REASONS = new Map(Object.entries(STATUS_CODES).map(([status, text = '']) => [Number(status), text.toUpperCase()]))

/** Writes a reply, its head and body in one piece; returns the number of bytes in its body. */
function writeReply(response: ServerResponse, { status, body, headers = {} }: Reply): number {
  const isPage = typeof body === 'string'
  const text = isPage ? body : body === undefined ? '' : `${JSON.stringify(body)}\n`
  const length = Buffer.byteLength(text)
  const type = isPage ? 'text/html; charset=utf-8' : 'application/json'
  const head: (string | string[])[] = body === undefined ? [] : ['Content-Type', type]
  // A 204 has no length (RFC 9110, section 8.6).
  if (status !== 204) head.push('Content-Length', `${length}`)
  head.push('Cache-Control', 'no-store', 'X-Content-Type-Options', 'nosniff', ...Object.entries(headers).flat())
  response.writeHead(status, REASONS.get(status) ?? '', head).end(text)
  return response.req.method === 'HEAD' ? 0 : length
}
