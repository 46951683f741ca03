/** What a balancer or a supervisor asks every few seconds: whether to send requests here. */
import type { Reply, Service } from '../service.ts'

/** `GET /healthz`: 200, or 503 while the service stops or its store does not answer. Not in the access log. */
export async function healthz({ auth, isStopping }: Service): Promise<Reply> {
  if (isStopping()) return unavailable('the service is stopping')
  if (!(await auth.isHealthy())) return unavailable('the store does not answer')
  return { status: 200, body: { message: 'ok' }, isLogged: false }
}

function unavailable(message: string): Reply {
  return { status: 503, body: { message }, headers: { 'Retry-After': '1' }, isLogged: false }
}
