/** What a handler returns, and how it is written to the client. */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Service } from '../../server.ts'

/**
 * The answer to a request. An object is sent as JSON, a string as an HTML page; without a body, none is sent. `headers` are
 * names and values in turn.
 */
export type Reply = {
  status: number
  body?: object | string
  headers?: readonly string[]
  /** Whose session was found, for the access log. */
  userId?: number
  /** `false` keeps it out of the access log. */
  isLogged?: boolean
}

/** Answers one method of one path; may also throw an `HttpError`, or one of Auth's errors. */
export type Handler = (service: Service, request: IncomingMessage) => Promise<Reply> | Reply

/** Handlers by path and method. Maps, because an object would also have a `/__proto__`. */
export type Routes = ReadonlyMap<string, ReadonlyMap<string, Handler>>

/** The reason phrases, in capitals as Flask's are: clients of the exercise compare them. */
const REASONS = new Map(Object.entries(STATUS_CODES).map(([status, text = '']) => [Number(status), text.toUpperCase()]))

/** Writes a reply, its head and body in one piece; returns the number of bytes in its body. */
export function writeReply(response: ServerResponse, { status, body, headers = [] }: Reply): number {
  const isPage = typeof body === 'string'
  const text = isPage ? body : body === undefined ? '' : `${JSON.stringify(body)}\n`
  const length = Buffer.byteLength(text)
  const type = isPage ? 'text/html; charset=utf-8' : 'application/json'
  const head = body === undefined ? [] : ['Content-Type', type]
  // A 204 has no length (RFC 9110, section 8.6).
  if (status !== 204) head.push('Content-Length', `${length}`)
  head.push('Cache-Control', 'no-store', 'X-Content-Type-Options', 'nosniff', ...headers)
  response.writeHead(status, REASONS.get(status) ?? '', head).end(text)
  return response.req.method === 'HEAD' ? 0 : length
}
