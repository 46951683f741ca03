/** The head of a request: its path, the client's address, and whether another site or this machine has sent it. */
import type { IncomingMessage } from 'node:http'
import { isIP, type Socket } from 'node:net'
import type { Config } from './config.ts'
import { HttpError } from './service.ts'

/** The client's address; with TRUST_PROXY, the last of `X-Forwarded-For`: only that one comes from the proxy itself. */
export function addressOf({ trustProxy }: Config, { headers, socket }: IncomingMessage): string {
  const list = String(headers['x-forwarded-for'])
  const forwarded = trustProxy ? parseAddress(list.slice(list.lastIndexOf(',') + 1).trim()) : null
  return forwarded ?? plainAddress(socket.remoteAddress ?? '-')
}

/** An address as proxies write it: alone, in brackets, or with a port (RFC 7239, section 6); else `null`. */
function parseAddress(text: string): string | null {
  const [, bracketed, v4] = /^\[([^\]]*)\](?::\d+)?$|^([\d.]+):\d+$/.exec(text) ?? []
  const address = bracketed ?? v4 ?? text
  return isIP(address) ? plainAddress(address) : null
}

/** Turns an IPv4-mapped IPv6 address, as a dual-stack socket has it, into plain IPv4 (RFC 4291, section 2.5.5.2). */
function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=[\d.]+$)/i, '')
}

const signals = new WeakMap<Socket, AbortSignal>()

/** A signal that aborts when the client disconnects, so that no password is hashed for nothing. */
function disconnectSignal(socket: Socket): AbortSignal {
  let signal = signals.get(socket)
  if (signal === undefined) {
    const controller = new AbortController()
    if (socket.destroyed) controller.abort()
    else socket.once('close', () => controller.abort())
    signals.set(socket, (signal = controller.signal))
  }
  return signal
}

/** What Auth wants to know of a client: its address, and a signal that aborts when it disconnects. */
export function clientOf(config: Config, request: IncomingMessage): { address: string; signal: AbortSignal } {
  return { address: addressOf(config, request), signal: disconnectSignal(request.socket) }
}

/**
 * How many headers of a name a request has. `headers` would show only the first of several Hosts, and node builds it
 * when it is first read, which takes a fiftieth of the CPU of a `GET /`.
 * @param name in lower case
 */
export function countHeader({ rawHeaders }: IncomingMessage, name: string): number {
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const header = rawHeaders[i] ?? ''
    if (header.length === name.length && header.toLowerCase() === name) count++
  }
  return count
}

/** The text before the first separator, and the text after it. */
export function cut(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)]
}

/** A text with `?` for each character that could break a line of the log. */
export function printable(text: string): string {
  return text.replace(/["\\]|[^ -~]/g, '?')
}

/** The path of a request target (RFC 9112, section 3.2), without query, repeated slashes, or a slash at the end. */
export function pathOf(target: string): string {
  const path = cut(target.startsWith('/') ? target : target.replace(/^https?:\/\/[^/?]*/i, ''), '?')[0]
  return path.replace(/\/(?=\/|$)/g, '') || '/'
}

/** The refusal of a request from another site; the front door explains it where plain http is the reason. */
export const CROSS_ORIGIN = new HttpError(403, 'requests from other sites are refused')

/** Configurations whose operator has been told to set PUBLIC_URL. */
const told = new WeakSet<Config>()

/**
 * Throws `CROSS_ORIGIN` if another site makes a browser send the request (CSRF). Browsers say so in `Sec-Fetch-Site` or
 * `Origin`, which are checked as in Go's http.CrossOriginProtection. The check fails open on purpose: a client that
 * sends neither is not a browser, or is an old one, which only the cookie's SameSite=Lax protects.
 */
export function checkOrigin(config: Config, { method, headers }: IncomingMessage): void {
  // Safe methods, which promise to change nothing (RFC 9110, section 9.2.1).
  if (method === 'GET' || method === 'HEAD' || method === 'OPTIONS') return
  const { 'sec-fetch-site': site, origin, host = '' } = headers
  if (site === 'same-origin' || site === 'none') return
  if (site === undefined) {
    if (origin === undefined || isOwnOrigin(config, origin, host)) return
    if (config.publicUrl === null && !told.has(config)) {
      told.add(config)
      const [from, to] = [origin, host].map((text) => printable(text.slice(0, 100)))
      console.error(`refused a form: its Origin is ${from}, but Host is ${to}; if a proxy changes Host, set PUBLIC_URL`)
    }
  }
  throw CROSS_ORIGIN
}

function isOwnOrigin({ publicUrl }: Config, origin: string, host: string): boolean {
  // A proxy may have rewritten Host, and Host has no scheme.
  if (publicUrl !== null) return origin === publicUrl
  const [scheme, from] = cut(origin.toLowerCase(), '://')
  return [from, `${from}${scheme === 'https' ? ':443' : ':80'}`].includes(host.toLowerCase())
}

/** The loopback addresses: 127.0.0.0/8 and ::1 (RFC 6890). */
const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|::1)$/
/** This machine in a Host header, or in an origin after the scheme. */
export const OWN_HOST = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/i
/** The headers that proxies, and the services in front of them, add to a request that they pass on. */
const FORWARDED =
  /^(?:forwarded|via|cdn-loop|x-(?:forwarded|original|envoy|amzn)-.*|(?:.*-)?(?:client|connecting|real|remote|source|user|viewer)-?(?:ip|addr|address))$/

/**
 * Throws unless registration is open, or the request comes from this machine itself. A request from elsewhere through a
 * proxy on this machine has a loopback address too; the proxy's headers give it away, whatever TRUST_PROXY says. So
 * does its Host, which also exposes the page of a site whose name now resolves to this machine (DNS rebinding). A proxy
 * that adds no header and sends a local Host passes for this machine.
 */
export function checkRegistration({ registration }: Pick<Config, 'registration'>, request: IncomingMessage): void {
  if (registration === 'open') return
  const { headers, socket } = request
  const isLocal = LOOPBACK.test(plainAddress(socket.remoteAddress ?? '')) && OWN_HOST.test(headers.host ?? '')
  if (isLocal && !Object.keys(headers).some((name) => FORWARDED.test(name))) return
  throw new HttpError(403, 'registration is closed: ask whoever runs this service for an account')
}
