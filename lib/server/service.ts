/** The types of handlers, and the one function that decides what a client is told of an error. */
import type { IncomingMessage } from 'node:http'
import { type Auth, EmailTaken, InvalidInput, Overloaded, StoreError, TooManyFailures } from '../../auth.ts'
import type { Config } from './config.ts'
import type { Webhook } from './webhook.ts'

/** Everything that a handler needs besides the request. */
export type Service = {
  auth: Auth
  config: Config
  /** Where reset tokens are sent; `null`: they are handed to whoever asks. */
  webhook: Webhook | null
  /** True when the server is about to stop: replies are then the last ones of their connections. */
  isStopping(): boolean
}

/** Header fields by name, as written on the wire; only `Set-Cookie` has several values (RFC 9110, section 5.3). */
export type ReplyHeaders = Readonly<Record<string, string | string[]>>

/** The answer to a request. A body that is an object is sent as JSON, a string as an HTML page. */
export type Reply = {
  status: number
  body?: object | string
  headers?: ReplyHeaders
  /** Whose session was found, for the access log. */
  userId?: number
  /** `false` keeps it out of the access log. */
  isLogged?: boolean
}

/** Answers one method of one path; may throw, as `replyToError` turns any error into a reply. */
export type Handler = (service: Service, request: IncomingMessage) => Promise<Reply> | Reply

/** Handlers by method and path, such as `GET /profile`. A map, because an object would also have an `__proto__`. */
export type Routes = ReadonlyMap<string, Handler>

/** A failure: its status, its message for the client, and the headers that go with it. */
export class HttpError extends Error {
  readonly status: number
  readonly headers: ReplyHeaders

  constructor(status: number, message: string, headers: ReplyHeaders = {}) {
    super(message)
    this.status = status
    this.headers = headers
  }
}

/** What a client is told of an error. Failures of the store, and bugs, go to stderr; the client learns no details. */
export function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error
  if (error instanceof InvalidInput) return new HttpError(400, error.message)
  if (error instanceof EmailTaken) return new HttpError(400, 'email already registered')
  if (error instanceof TooManyFailures || error instanceof Overloaded) {
    const status = error instanceof Overloaded ? 503 : 429
    return new HttpError(status, error.message, { 'Retry-After': `${error.retryAfter}` })
  }
  if (error instanceof StoreError) {
    console.error(error.message)
    return new HttpError(503, 'the store is not available', { 'Retry-After': '1' })
  }
  console.error('a bug:', error)
  return new HttpError(500, 'internal error')
}

/** The JSON reply to a request that failed. */
export function replyToError(error: unknown): Reply {
  const { status, message, headers } = toHttpError(error)
  return { status, body: { message }, headers }
}
