/** `/verify`, which a proxy asks before it lets a request through to an app, and `/healthz`, which a balancer asks. */
import type { IncomingMessage } from 'node:http'
import type { Config } from '../config.ts'
import { cut } from '../head.ts'
import type { Reply, Service } from '../service.ts'
import { replyWithUser, sessionOf } from '../session.ts'
import { show } from './page.ts'
import * as pages from './pages.ts'
import { MAX_ADDRESS_CHARS } from './return-to.ts'

/** `GET /verify`: 200 and who is logged in, or 401. For a person, the 401 (nginx) or a 302 leads to the login. */
export async function verify(service: Service, request: IncomingMessage): Promise<Reply> {
  const { config } = service
  const session = await sessionOf(service, request)
  if (session !== null) return replyWithUser(session.user)
  const body = { message: 'not logged in' }
  const original = originalOf(config, request)
  if (config.publicUrl === null || original === null || !isByPerson(request)) return { status: 401, body }
  // On the way to the login a form would be lost: this page says how to send it again.
  if (!/^(?:GET|HEAD)$/.test(original.method)) return show(service, pages.loggedOut, 401)
  const returnTo = withinLimit(original.url)
  const query = returnTo && `?rd=${encodeURIComponent(returnTo)}`
  return { status: original.status, body, headers: { Location: `${config.publicUrl}/login${query}` } }
}

/** True if a person opens a page or sends a form in a browser: a script cannot make use of a login page. */
function isByPerson({ headers }: IncomingMessage): boolean {
  const { accept = '', 'sec-fetch-mode': mode = 'navigate', 'x-requested-with': script } = headers
  // A weight of 0 means "not acceptable" (RFC 9110, section 12.4.2).
  const [named, parameters = ''] = /(?:^|,)[ \t]*text\/html[ \t]*(?:;([^,]*))?(?:,|$)/i.exec(accept) ?? []
  const isRefused = /(?:^|;)[ \t]*q=0(?:\.0*)?[ \t]*(?:;|$)/i.test(parameters)
  return named !== undefined && !isRefused && mode === 'navigate' && script === undefined
}

/**
 * The request that the proxy asks about, and the status that takes a person to the login. They come from headers, which
 * anybody can send: they are believed only with TRUST_PROXY, and even then only choose how to refuse, and give the
 * address to return to, which is checked like any other.
 */
function originalOf({ trustProxy }: Config, { headers }: IncomingMessage) {
  if (!trustProxy) return null
  const header = (name: string) => String(headers[name] ?? '')
  const first = (name: string) => cut(header(name), ',')[0].trim()
  // nginx accepts only 2xx, 401 and 403 from /verify; its configuration turns the 401 into a redirect.
  const [url, method] = [header('x-original-url'), header('x-original-method')]
  if (url && method) return { method, url, status: 401 }
  const [protocol, host] = [first('x-forwarded-proto'), first('x-forwarded-host')]
  const [uri, forwardedMethod] = [header('x-forwarded-uri'), header('x-forwarded-method')]
  if (!protocol || !host || !uri || !forwardedMethod) return null
  return { method: forwardedMethod, url: `${protocol}://${host}${uri}`, status: 302 }
}

/**
 * An address as the login accepts it: printable ASCII, without its query if it is too long, and empty if it still is.
 * node reads each byte of a header as one character, so UTF-8 can be percent-encoded byte by byte.
 */
function withinLimit(address: string): string {
  for (const part of [address, cut(address, '?')[0]]) {
    if (part.length > MAX_ADDRESS_CHARS) continue
    const encoded = part.replace(/[^!-~]/g, (byte) => `%${Buffer.from(byte, 'latin1').toString('hex').toUpperCase()}`)
    if (encoded.length <= MAX_ADDRESS_CHARS) return encoded
  }
  return ''
}

/** `GET /healthz`: 200, or 503 while the service stops or its store does not answer. Not in the access log. */
export async function healthz({ auth, isStopping }: Service): Promise<Reply> {
  if (isStopping()) return unavailable('the service is stopping')
  if (!(await auth.isHealthy())) return unavailable('the store does not answer')
  return { status: 200, body: { message: 'ok' }, isLogged: false }
}

function unavailable(message: string): Reply {
  return { status: 503, body: { message }, headers: { 'Retry-After': '1' }, isLogged: false }
}
