/**
 * The front door: pages on which people with a browser log in, and what proxies and balancers ask. It shares Auth with
 * the API, but none of its handlers. README.md in this folder says how to put it in front of an app.
 */
import type { IncomingMessage } from 'node:http'
import { type Form, readForm } from '../form.ts'
import { pathOf } from '../head.ts'
import { type Handler, HttpError, type Reply, replyToError as toJson, type Routes, type Service } from '../service.ts'
import * as handlers from './handlers.ts'
import { type Page, showError } from './page.ts'
import * as pages from './pages.ts'
import { healthz, verify } from './verify.ts'

/** The pages' paths: what answers each method, and the form that comes back when a POST fails. */
const PATHS = new Map<string, { GET?: handlers.PageHandler; POST: handlers.PageHandler; form?: Page }>([
  ['/login', { GET: handlers.showLogin, POST: handlers.logIn, form: pages.login }],
  ['/register', { GET: handlers.showRegister, POST: handlers.register, form: pages.register }],
  ['/logout', { POST: handlers.logOut }],
  ['/account', { GET: handlers.showAccount, POST: handlers.changePassword }],
  ['/forgot', { GET: handlers.showForgot, POST: handlers.forgot, form: pages.forgot }],
  ['/reset', { GET: handlers.showReset, POST: handlers.reset, form: pages.reset }],
])

/** The front door's paths, and what to reply where a request for one of its pages fails before it reaches a handler. */
export type FrontDoor = { routes: Routes; replyToError(error: unknown, request: IncomingMessage): Reply }

/** The front door of a service. */
export function frontDoor(service: Service): FrontDoor {
  const paths = new Map<string, ReadonlyMap<string, Handler>>()
  for (const [path, { GET, POST }] of PATHS) {
    const methods = Object.entries({ ...(GET && { GET }), POST })
    paths.set(path, new Map(methods.map(([method, handler]) => [method, asPage(handler)])))
  }
  // Without a webhook it would hand the token to whoever asks.
  if (service.webhook === null) paths.delete('/forgot')
  const others: Routes = new Map([
    ['/verify', new Map([['GET', verify]])],
    ['/healthz', new Map([['GET', healthz]])],
  ])
  return {
    routes: new Map([...paths, ...others]),
    replyToError(error, request) {
      if (!paths.has(pathOf(request.url ?? ''))) return toJson(error)
      // With PUBLIC_URL, a form that comes over http looks like another site's.
      const isRefused = error instanceof HttpError && error.status === 403
      const reason = isRefused && handlers.isOverHttp(service.config, request) ? handlers.NEEDS_HTTPS : error
      return toPage(service, reason, request)
    },
  }
}

/** A handler whose failures are pages. */
function asPage(handler: handlers.PageHandler): Handler {
  return async (service, request) => {
    let form: Form = new Map()
    try {
      if (request.method === 'POST') form = await readForm(request)
      return await handler(service, request, form)
    } catch (error) {
      // A client that has disconnected sees no page.
      if (request.socket.destroyed) throw error
      return toPage(service, error, request, form)
    }
  }
}

/** A failure as a page: its form again, filled in as it was, or where a form would be of no use, a page without one. */
function toPage(service: Service, error: unknown, request: IncomingMessage, form: Form = new Map()): Reply {
  const page = request.method === 'POST' ? PATHS.get(pathOf(request.url ?? ''))?.form : undefined
  if (page === undefined) return showError(service, pages.failed, error)
  return showError(service, page, error, handlers.filledIn(service, request, form))
}
