/** The service in the test's own process: as real over HTTP as the program, and there at once. */
import type { Server } from 'node:http'
import type { Test } from 'tap'
import { Auth, AUTH_OPTIONS } from '../../auth.ts'
import { readEnvironment } from '../../lib/options.ts'
import { createService, readConfig } from '../../server.ts'
import { listen } from './http.ts'

/** A service that listens on a port of 127.0.0.1; `url` has no slash at its end. */
export type RunningService = { auth: Auth; server: Server; url: string; port: number }

/** Starts a service over a store in memory, without an access log; it is closed at the end of the test. */
export async function startService(t: Test, env: Record<string, string> = {}): Promise<RunningService> {
  const auth = new Auth(readEnvironment(AUTH_OPTIONS, { DATABASE_URL: 'memory:', BCRYPT_COST: '4', ...env }))
  await auth.open()
  const server = createService({ auth, config: readConfig({ ACCESS_LOG: '0', ...env }) })
  const port = await listen(server)
  t.teardown(() => server.close().closeAllConnections())
  return { auth, server, url: `http://127.0.0.1:${port}`, port }
}
