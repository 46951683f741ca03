/** What all pages share: the frame around their content, and the headers that they are sent with. */
import type { Config } from '../config.ts'
import type { Reply, ReplyHeaders } from '../service.ts'
import { type Markup, markup, type State } from './markup.ts'
import { STYLE, STYLE_SOURCE } from './style.ts'

/** Makes the reply that shows a page with the state of this request. */
export type Page = (status: number, state?: Partial<State>, headers?: ReplyHeaders) => Reply

const NOTHING: State = { error: '', notice: '', email: '', rd: '', token: '' }

/** A padlock. */
const ICON = markup`<svg width="35" height="40" viewBox="6 4 28 32" fill="none" stroke="currentColor" stroke-width="2.5" aria-hidden="true">
<rect x="8" y="18" width="24" height="16" rx="4"/>
<path d="M13 18v-5a7 7 0 0 1 14 0v5M20 25v3" stroke-linecap="round"/>
</svg>`

/**
 * What went wrong, or what was done. A screen reader that does not announce an alert on a new page still reads "Error:" in
 * the title first (GOV.UK Design System, Error message), and the message again with each field that it describes.
 */
const MESSAGE = markup`${({ error }) => error && markup`<p role="alert" id="error"><strong>Error:</strong> ${error}</p>\n`}${({ notice }) => notice && markup`<p role="status">${notice}</p>\n`}`

/** Where a login leads, when that is another host. */
const destination = ({ rd }: State) =>
  URL.canParse(rd) ? markup`<p class="quiet">to go on to <strong>${new URL(rd).host}</strong></p>\n` : ''

/** Builds a page once; only what differs between requests is filled in later. */
export function buildPage(config: Config, title: string, content: Markup): Page {
  // An empty icon, so that no browser asks for /favicon.ico.
  const whole = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${({ error }) => error && 'Error: '}${title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<main>
${ICON}
<h1>${title}</h1>
${destination}${MESSAGE}${content}</main>
</body>
</html>
`
  const always = headersOf(config)
  return (status, state, headers = {}) => ({
    status,
    body: whole.fill({ ...NOTHING, ...state }),
    headers: { ...always, ...headers },
  })
}

/** The headers of every page. */
function headersOf({ publicUrl, cookieDomain }: Config): ReplyHeaders {
  // Browsers apply form-action also to where a form's answer redirects, which may be an app below the domain.
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
  // Not no-referrer: with that a browser sends its forms with `Origin: null`, which looks like another site.
  return { 'Content-Security-Policy': policy.join('; '), 'Referrer-Policy': 'same-origin' }
}
