/**
 * The front door: pages on which people with a browser log in, and what proxies and balancers ask. It is built on the same Auth
 * as the contract's paths, and on nothing of theirs. README.md in this folder tells how to put it in front of an app.
 */
import type { IncomingMessage } from 'node:http'
import { pathOf } from '../head.ts'
import { type Handler, type Reply, replyToError as toJson, type Routes, type Service } from '../service.ts'
import { changePassword, showAccount } from './account.ts'
import { type Door, failed } from './door.ts'
import { healthz } from './healthz.ts'
import { logIn, logOut, register, showLogin, showRegister } from './log-in.ts'
import { buildPages } from './pages.ts'
import { forgot, reset, showForgot, showReset } from './reset.ts'
import { verify } from './verify.ts'

/** Answers one method of one page. */
type Show = (door: Door, request: IncomingMessage) => Promise<Reply> | Reply

/** The front door's paths, and what to reply where a request for one of its pages fails before it reaches a handler. */
export type FrontDoor = { routes: Routes; replyToError(error: unknown, request: IncomingMessage): Reply }

/** Builds the pages. */
export function frontDoor(service: Service): FrontDoor {
  const pages = buildPages(service.config)
  const door: Door = { ...service, pages }

  /** A failure as a page: its form again, or where a form would be of no use, a page without one. */
  function replyToError(error: unknown, request: IncomingMessage): Reply {
    const path = pathOf(request.url ?? '')
    if (!paths.has(path)) return toJson(error)
    return failed(error, forms.get(request.method === 'POST' ? path : '') ?? pages.failed)
  }

  /** Makes a handler of the server's kind. */
  function page(show: Show): Handler {
    return async (_service, request) => {
      try {
        return await show(door, request)
      } catch (error) {
        // A client that has disconnected sees no page.
        if (request.socket.destroyed) throw error
        return replyToError(error, request)
      }
    }
  }

  const forms = new Map([
    ['/login', pages.login],
    ['/register', pages.register],
    ['/forgot', pages.forgot],
    ['/reset', pages.reset],
  ])
  const both = (get: Show, post: Show) => new Map(Object.entries({ GET: page(get), POST: page(post) }))
  const paths = new Map([
    ['/login', both(showLogin, logIn)],
    ['/register', both(showRegister, register)],
    ['/logout', new Map([['POST', page(logOut)]])],
    ['/account', both(showAccount, changePassword)],
    ['/reset', both(showReset, reset)],
  ])
  // Without a webhook it would hand the token to whoever asks.
  if (door.webhook !== null) paths.set('/forgot', both(showForgot, forgot))
  const others: Routes = new Map([
    ['/verify', new Map([['GET', verify]])],
    ['/healthz', new Map([['GET', healthz]])],
  ])
  return { routes: new Map([...paths, ...others]), replyToError }
}
