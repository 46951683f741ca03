/** The frame around the content of every page, and the headers that pages are sent with. */
import type { Config } from '../config.ts'
import { type Reply, type ReplyHeaders, type Service, toHttpError } from '../service.ts'
import { type Html, html } from './html.ts'
import { STYLE, STYLE_SOURCE } from './style.ts'

/** The parts of a page that depend on the request; the empty string where there is nothing to show. */
export type State = Readonly<Record<'error' | 'notice' | 'email' | 'returnTo' | 'token', string>>

/** A page: its title, which is also its heading, and the content below that. */
export type Page = (state: State, service: Service) => { title: string; content: Html }

const NOTHING: State = { error: '', notice: '', email: '', returnTo: '', token: '' }

/** The reply that shows a page. */
export function show(
  service: Service,
  page: Page,
  status: number,
  state: Partial<State> = {},
  headers: ReplyHeaders = {},
): Reply {
  const whole = { ...NOTHING, ...state }
  const { title, content } = page(whole, service)
  const body = String(frame(title, whole, content))
  return { status, body, headers: { ...headersOf(service.config), ...headers } }
}

/** The reply that shows a page with what went wrong: the message that a JSON reply would have. */
export function showError(service: Service, page: Page, error: unknown, state: Partial<State> = {}): Reply {
  const { status, message, headers } = toHttpError(error)
  const seconds = headers['Retry-After']
  const wait = seconds === undefined ? '' : ` Try again in ${duration(Number(seconds))}.`
  return show(service, page, status, { ...state, error: `${sentence(message)}${wait}` }, headers)
}

/** A message as a sentence: "new_password is missing" becomes "New password is missing." */
function sentence(message: string): string {
  const text = message.replaceAll('_', ' ')
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`
}

const UNITS = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
] as const

/**
 * Seconds in the largest unit of which there are two or more: "90 seconds", "10 minutes", "1 second". Rounded up, as a
 * wait has to be; a lifetime has to be rounded down.
 */
export function duration(seconds: number, round = Math.ceil): string {
  const [unit, length] = UNITS.find(([, length]) => seconds >= 2 * length) ?? ['second', 1]
  const count = round(seconds / length)
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}

function frame(title: string, { error, notice, returnTo }: State, content: Html): Html {
  // A screen reader that does not announce an alert on a new page still reads "Error:" in the title first (GOV.UK
  // Design System, Error message), and the message again with each field that it describes.
  const alert = error && html`<p role="alert" id="error"><strong>Error:</strong> ${error}</p>\n`
  const status = notice && html`<p role="status">${notice}</p>\n`
  // A path, which leads to this host, has no host to show.
  const host = URL.canParse(returnTo) ? new URL(returnTo).host : ''
  const destination = host && html`<p class="quiet">to go on to <strong>${host}</strong></p>\n`
  // An empty icon, so that no browser asks for /favicon.ico.
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${error && 'Error: '}${title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<main>
${PADLOCK}
<h1>${title}</h1>
${destination}${alert}${status}${content}</main>
</body>
</html>
`
}

const PADLOCK = html`<svg width="35" height="40" viewBox="6 4 28 32" fill="none" stroke="currentColor" stroke-width="2.5" aria-hidden="true">
<rect x="8" y="18" width="24" height="16" rx="4"/>
<path d="M13 18v-5a7 7 0 0 1 14 0v5M20 25v3" stroke-linecap="round"/>
</svg>`

function headersOf({ publicUrl, cookieDomain }: Config): ReplyHeaders {
  // Browsers apply form-action to redirects after a form too, and those may lead to an app below the domain.
  const { protocol, port } = new URL(publicUrl ?? 'http://localhost')
  const at = port && `:${port}`
  const apps = cookieDomain && ` ${protocol}//${cookieDomain}${at} ${protocol}//*.${cookieDomain}${at}`
  const policy = [
    "default-src 'none'",
    `style-src ${STYLE_SOURCE}`,
    'img-src data:',
    `form-action 'self'${apps ?? ''}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ]
  // With no-referrer, a browser would send its forms with `Origin: null`, which looks like another site.
  return { 'Content-Security-Policy': policy.join('; '), 'Referrer-Policy': 'same-origin' }
}
