/** node:http's server with the service's limits, and with an answer for whatever node's parser finds wrong. */
import { createServer, IncomingMessage, type Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { AccessLog } from './access-log.ts'
import { writeTogether } from './batched-writes.ts'
import type { Config } from './config.ts'
import { declaresTooLarge } from './form.ts'
import { addressOf } from './head.ts'
import { HttpError } from './http-error.ts'
import { type Reply, writeReply } from './reply.ts'

/** How long a request may take to arrive, in milliseconds, before it is answered 408. */
const REQUEST_TIMEOUT = 10_000
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
  /** Answers a request, or throws. */
  replyTo(request: IncomingMessage): Promise<Reply> | Reply
  /** The reply that stands for an error; never throws. */
  replyToError(error: unknown): Reply
}

/** A server that does not listen yet. It logs to stdout where the configuration asks for it. */
export function createHttpServer({ replyTo, replyToError }: Responder, config: Config): Server {
  const log = config.accessLog ? new AccessLog() : null
  /** The last response of each connection. */
  const pending = new WeakMap<Socket, ServerResponse>()

  /** Answers a request, whatever happens. */
  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const previous = pending.get(request.socket)
    pending.set(request.socket, response)
    // Of pipelined requests, each may need what the one before it does (RFC 9112, section 9.3.2).
    if (previous?.writableFinished === false) await new Promise((resolve) => previous.once('close', resolve))
    try {
      const reply = replyTo(request)
      conclude(response, reply instanceof Promise ? await reply : reply)
    } catch (error) {
      // A client that has disconnected, or knows already that its request is broken, gets no reply.
      if (!response.headersSent && !request.socket.destroyed) conclude(response, replyToError(error))
    }
  }

  /** Writes a reply and logs it; the last one of its connection when the server stops. */
  function conclude(response: ServerResponse, reply: Reply): void {
    if (!server.listening) response.shouldKeepAlive = false
    const bytes = writeReply(response, reply)
    if (log === null) return
    const { method, url, httpVersion: version } = response.req
    const address = addressOf(config, response.req)
    log.add({ address, method: method ?? '', target: url ?? '', version, status: reply.status, bytes })
  }

  /** Replies to what node does not take for a request, and closes the connection. */
  function closeWith(socket: Socket, reply: Reply): void {
    const response = new ServerResponse(new IncomingMessage(socket))
    response.assignSocket(socket)
    conclude(response, reply)
    socket.end()
    setTimeout(() => socket.destroy(), LINGER).unref()
  }

  const server = createServer({
    requestTimeout: REQUEST_TIMEOUT,
    headersTimeout: REQUEST_TIMEOUT,
    connectionsCheckingInterval: 1000,
    requireHostHeader: false,
  })
  server.on('close', () => log?.flush())
  server.on('request', serve)
  server.on('connection', writeTogether)
  server.on('checkContinue', (request, response) => {
    if (!declaresTooLarge(request)) response.writeContinue()
    serve(request, response)
  })
  server.on('checkExpectation', (_request, response) => {
    conclude(response, replyToError(new HttpError(417, 'only 100-continue can be expected')))
  })
  server.on('connect', (_request, socket: Socket) => {
    const allowed = 'GET, HEAD, POST, PUT, DELETE, OPTIONS'
    closeWith(socket, replyToError(new HttpError(405, 'this is no proxy', ['Allow', allowed])))
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    const response = pending.get(socket)
    const reply = replyToError(PARSE_ERRORS.get(error.code ?? '') ?? new HttpError(400, 'this is not HTTP'))
    if (!socket.writable || error.code === 'ECONNRESET') socket.destroy()
    else if (response === undefined) closeWith(socket, reply)
    else if (!response.req.complete) {
      // The request that is being answered is broken itself. Where it has its answer, a second one would be a lie.
      if (response.headersSent) return void socket.destroy()
      response.shouldKeepAlive = false
      conclude(response, reply)
    } else if (response.writableFinished) closeWith(socket, reply)
    else response.once('close', () => closeWith(socket, reply))
  })
  return server
}
