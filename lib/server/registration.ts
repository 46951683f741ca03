/** Who may register. */
import type { IncomingMessage } from 'node:http'
import { hostname } from 'node:os'
import type { Config } from './config.ts'
import { HttpError } from './service.ts'

/** The loopback addresses, as node writes them: 127.0.0.0/8, also when it is mapped into IPv6, and ::1 (RFC 6890). */
const LOOPBACK = /^(?:(?:::ffff:)?127\.\d+\.\d+\.\d+|::1)$/
/** This machine in a Host header. */
const OWN_HOST = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/i
/** What proxies, and the services in front of them, add to a request that they pass on. */
const FORWARDED =
  /^(?:forwarded|via|cdn-loop|x-(?:forwarded|original|envoy|amzn)-.*|(?:.*-)?(?:client|connecting|real|remote|source|user|viewer)-?(?:ip|addr|address))$/

/**
 * Throws unless registration is open, or the request comes from this machine itself. A request from elsewhere through a proxy
 * on this machine has a loopback address too; the proxy's headers give it away, whatever TRUST_PROXY says. So does its Host,
 * as it does a page of another site whose name leads to this machine by now (DNS rebinding). A proxy that adds no header and
 * sends its own name for Host cannot be told from this machine.
 */
export function checkRegistration({ registration }: Pick<Config, 'registration'>, request: IncomingMessage): void {
  if (registration === 'open') return
  const { headers, socket } = request
  const { host = '' } = headers
  const isLocal = LOOPBACK.test(socket.remoteAddress ?? '') && (OWN_HOST.test(host) || isHostname(host))
  if (isLocal && !Object.keys(headers).some((name) => FORWARDED.test(name))) return
  throw new HttpError(403, 'registration is closed: ask whoever runs this service for an account')
}

/** True for the hostname without a dot: with one it may be the name that a proxy serves. */
function isHostname(host: string): boolean {
  const name = hostname().toLowerCase()
  return !name.includes('.') && host.toLowerCase().replace(/:\d+$/, '') === name
}
