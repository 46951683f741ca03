/** What the front door's handlers share: the pages, and how a form does its work or comes back with what went wrong. */
import type { IncomingMessage } from 'node:http'
import { type Form, readForm } from '../form.ts'
import { cut } from '../head.ts'
import { type Reply, type ReplyHeaders, type Service, toHttpError } from '../service.ts'
import { duration } from './duration.ts'
import type { State } from './markup.ts'
import type { Page } from './page.ts'
import type { Pages } from './pages.ts'
import { ACCOUNT, wayBack } from './way-back.ts'

/** What the handlers work with. */
export type Door = Service & { pages: Pages }

/** The fields of a query. */
export function queryOf({ url = '' }: IncomingMessage): URLSearchParams {
  return new URLSearchParams(cut(url, '?')[1])
}

/** Where a form, or a query, asks to go back to. */
export function backOf({ config }: Door, request: IncomingMessage, form?: Form): string {
  return wayBack(config, form?.get('rd') ?? queryOf(request).get('rd') ?? undefined)
}

/** The way back as a page carries it along: empty when a login leads there anyway. */
export function carried(back: string): string {
  return back === ACCOUNT ? '' : back
}

/** The email in a form, without the space that phones put behind a word. */
export function emailIn(form: Form): string {
  return form.get('email')?.trim() ?? ''
}

/** Sends a browser on; it gets the page there, whatever the method was (RFC 9110, section 15.4.4). */
export function seeOther(location: string, headers: ReplyHeaders = {}): Reply {
  return { status: 303, headers: { Location: location, ...headers } }
}

/** Lets a form do its work. On a failure its page comes back with the reason, and with what was filled in except passwords. */
export async function submit(
  door: Door,
  request: IncomingMessage,
  page: Page,
  work: (form: Form) => Promise<Reply>,
  email?: string,
): Promise<Reply> {
  let form: Form = new Map()
  try {
    form = await readForm(request)
    return await work(form)
  } catch (error) {
    // A client that has disconnected sees no page.
    if (request.socket.destroyed) throw error
    const rd = carried(backOf(door, request, form))
    return failed(error, page, { email: email ?? emailIn(form), token: form.get('token') ?? '', rd })
  }
}

/** A failure as a page. */
export function failed(error: unknown, page: Page, state: Partial<State> = {}): Reply {
  const { status, message, headers } = toHttpError(error)
  const wait = headers['Retry-After'] === undefined ? '' : ` Try again in ${duration(Number(headers['Retry-After']))}.`
  return page(status, { ...state, error: `${sentence(message)}${wait}` }, headers)
}

/** A message as a sentence. */
function sentence(message: string): string {
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}${/[.!?]$/.test(message) ? '' : '.'}`
}
