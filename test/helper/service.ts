/** The service in the test's own process: as real over HTTP as the program, and there at once. */
import type { Server } from 'node:http'
import type { Test } from 'tap'
import { Auth } from '../../auth.ts'
import { createService, readConfig } from '../../server.ts'
import { listen } from './http.ts'

/** A service that listens on a port of 127.0.0.1; `url` has no slash at its end. */
export type RunningService = { auth: Auth; server: Server; url: string; port: number }

/** Starts a service over a store in memory, without an access log; it is closed at the end of the test. */
export async function startService(t: Test, env: Record<string, string> = {}): Promise<RunningService> {
  const config = readConfig({ ACCESS_LOG: '0', DATABASE_URL: 'memory:', BCRYPT_COST: '4', ...env })
  const auth = new Auth(config.auth)
  await auth.open()
  const server = createService({ auth, config })
  const port = await listen(server)
  t.teardown(() => server.close().closeAllConnections())
  return { auth, server, url: `http://127.0.0.1:${port}`, port }
}
