/** Cookies, path, the client's address, same origin or not. */
import type { IncomingMessage } from 'node:http'
import { isIP, type Socket } from 'node:net'
import type { Config } from './config.ts'

/** The client's address: behind a proxy the right-most of `X-Forwarded-For`, the only one that the proxy itself has written. */
export function addressOf({ trustProxy }: Config, { headers, socket }: IncomingMessage): string {
  const last = trustProxy && cutLast(String(headers['x-forwarded-for']))
  return last && isIP(last) ? last : (socket.remoteAddress ?? '-')
}

/** The last one of a list's members (RFC 9110, section 5.6.1). */
function cutLast(list: string): string {
  return list.slice(list.lastIndexOf(',') + 1).trim()
}

const signals = new WeakMap<Socket, AbortSignal>()

/** Aborts when the client disconnects, so that no password is hashed in vain. */
export function disconnectSignal(socket: Socket): AbortSignal {
  let signal = signals.get(socket)
  if (signal === undefined) {
    const controller = new AbortController()
    socket.once('close', () => controller.abort())
    signals.set(socket, (signal = controller.signal))
  }
  return signal
}

/** The session's cookie (RFC 6265, section 4.1): out of reach for scripts, and not sent along with other sites' forms. */
export function sessionCookie(config: Config, sessionId: string, maxAge: number): string {
  const secure = config.cookieSecure ? '; Secure' : ''
  return `session_id=${sessionId}; HttpOnly; Path=/; SameSite=Lax; Max-Age=${maxAge}${secure}`
}

/** The value, without quotes, of the first cookie that is named `session_id` (RFC 6265, sections 4.1.1 and 5.4). */
export function sessionIdOf(request: IncomingMessage): string | undefined {
  const value = /(?:^|;)[ \t]*session_id[ \t]*=([^;]*)/.exec(request.headers.cookie ?? '')?.[1]?.trim()
  return value?.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value
}

/** The text before the first separator, and the text behind it. */
export function cut(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)]
}

/** The path of a request target, which may be absolute (RFC 9112, section 3.2), without its query. */
export function pathOf(target: string): string {
  return cut(target.startsWith('/') ? target : target.replace(/^https?:\/\/[^/?]*/i, ''), '?')[0] || '/'
}

/**
 * Tells whether another site makes a browser send this (CSRF), as Go's http.CrossOriginProtection does: a browser says so
 * itself, and who sends neither header, like curl, is none.
 */
export function isCrossOrigin({ method = '', headers }: IncomingMessage): boolean {
  if (method === 'GET' || method === 'HEAD' || method === 'OPTIONS') return false
  const { 'sec-fetch-site': site, origin, host = '' } = headers
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  return origin !== undefined && cut(origin, '://')[1].toLowerCase() !== host.toLowerCase()
}
