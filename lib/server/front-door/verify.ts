/**
 * What a proxy asks before it lets a request through to an app: nginx auth_request, Caddy forward_auth, Traefik ForwardAuth;
 * and what a balancer asks every few seconds, whether to send requests here.
 */
import type { IncomingMessage } from 'node:http'
import type { Config } from '../config.ts'
import type { Reply, Service } from '../service.ts'
import { identityOf, userOf } from '../session.ts'

/** `GET /verify`: 200 and who it is; or 401, or 302, with the way to the login where the request is for a page. */
export async function verify(service: Service, request: IncomingMessage): Promise<Reply> {
  const { config } = service
  const user = await userOf(service, request)
  if (user !== null) return { status: 200, body: { email: user.email }, headers: identityOf(user), userId: user.id }
  const original = originalOf(config, request)
  const headers =
    original === null ? {} : { Location: `${config.publicUrl}/login?rd=${encodeURIComponent(original.url)}` }
  return { status: original?.status ?? 401, body: { message: 'not logged in' }, headers }
}

/**
 * The request that the proxy asks about, where a person waits for a page, and the status that takes the person to the login;
 * `null` elsewhere, as a script cannot make use of a login page. A proxy says so in headers, which anybody can send: they are
 * believed only with TRUST_PROXY, and even then do no more than make up a way back, which is checked like any other.
 */
function originalOf(
  { publicUrl, trustProxy }: Config,
  { headers }: IncomingMessage,
): { url: string; status: number } | null {
  if (publicUrl === null || !trustProxy) return null
  if (!/\btext\/html\b/i.test(headers.accept ?? '')) return null
  const header = (name: string) => String(headers[name] ?? '')
  const isPage = (name: string) => /^(?:GET|HEAD)$/.test(header(name))
  // nginx takes from its subrequest 200, 401 and 403 only; its configuration turns the 401 into a redirect.
  const url = header('x-original-url')
  if (url && header('x-original-method')) return isPage('x-original-method') ? { url, status: 401 } : null
  const [protocol, host, uri] = ['proto', 'host', 'uri'].map((name) => header(`x-forwarded-${name}`))
  if (!protocol || !host || !uri || !isPage('x-forwarded-method')) return null
  return { url: `${protocol}://${host}${uri}`, status: 302 }
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
