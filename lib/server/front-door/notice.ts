/** A message about what a form has just done, on the page that it leads to. */
import type { IncomingMessage } from 'node:http'
import type { Config } from '../config.ts'

/** By the page that the form was on, and the page that it leads to. Nothing but the form's success leads from one to the other. */
const NOTICES = new Map([
  ['/account /account', 'Your password has been changed.'],
  ['/account /login', 'You are logged out.'],
  ['/reset /login', 'Your password has been changed. Log in with the new one.'],
])

/** What to tell on a page. A browser says in `Referer` which page's form was sent, so that nothing has to be kept for it. */
export function noticeOn(page: string, { publicUrl }: Config, { headers }: IncomingMessage): string {
  const { referer = '', host } = headers
  if (!URL.canParse(referer)) return ''
  const from = new URL(referer)
  const isOurs = from.host === (publicUrl === null ? host : new URL(publicUrl).host)
  return (isOurs && NOTICES.get(`${from.pathname} ${page}`)) || ''
}
