/** Who may register. */
import type { IncomingMessage } from 'node:http'
import type { Config } from './config.ts'
import { HttpError } from './service.ts'

/** The loopback addresses, as node writes them: 127.0.0.0/8, also when it is mapped into IPv6, and ::1 (RFC 6890). */
const LOOPBACK = /^(?:(?:::ffff:)?127\.\d+\.\d+\.\d+|::1)$/
/** What proxies add to a request that they pass on. */
const FORWARDED = /^(?:forwarded|x-forwarded-.*|x-real-ip)$/

/**
 * Throws unless registration is open, or the request comes from this machine itself. A request from elsewhere through a proxy
 * on this machine has a loopback address too; the proxy's headers give it away, whatever TRUST_PROXY says.
 */
export function checkRegistration({ registration }: Pick<Config, 'registration'>, request: IncomingMessage): void {
  if (registration === 'open') return
  const isLocal = LOOPBACK.test(request.socket.remoteAddress ?? '')
  if (isLocal && !Object.keys(request.headers).some((name) => FORWARDED.test(name))) return
  throw new HttpError(403, 'registration is closed: ask whoever runs this service for an account')
}
