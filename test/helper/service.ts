/** The service in the test's own process: over real HTTP, but without the time that a program takes to start. */
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { Test } from 'tap'
import { Auth, AUTH_OPTIONS } from '../../auth.ts'
import { readEnvironment } from '../../lib/options.ts'
import { Webhook } from '../../lib/server/webhook.ts'
import { createService, readConfig } from '../../server.ts'
import { listen } from './http.ts'

/** A service that listens on a port of 127.0.0.1; `url` has no slash at its end. */
export type RunningService = { auth: Auth; server: Server; stopping: AbortController; url: string; port: number }

/** Starts a service over a store in memory, without an access log; it is closed at the end of the test. */
export async function startService(t: Test, env: Record<string, string> = {}): Promise<RunningService> {
  const auth = new Auth(readEnvironment(AUTH_OPTIONS, { DATABASE_URL: 'memory:', BCRYPT_COST: '4', ...env }))
  await auth.open()
  const config = readConfig({ ACCESS_LOG: '0', ...env })
  const webhook = config.resetWebhook === null ? null : new Webhook(auth, config.resetWebhook)
  const stopping = new AbortController()
  const server = createService({ auth, config, webhook, stopping: stopping.signal })
  const port = await listen(server)
  t.teardown(async () => {
    server.close().closeAllConnections()
    // A mail that is sent later would disturb the next test.
    await webhook?.settled()
    await auth.close()
  })
  return { auth, server, stopping, url: `http://127.0.0.1:${port}`, port }
}

/**
 * Collects the access-log lines of this process's services until the test ends. Those of a service are complete once it
 * is closed.
 */
export function captureAccessLog(t: Test): () => string[] {
  const { write } = process.stdout
  const isLog = (chunk: unknown) => / - (-|\d+) \[.*" \d{3} /.test(String(chunk))
  const written = t.capture(process.stdout, 'write', (...args: Parameters<typeof write>) =>
    isLog(args[0]) ? true : write.apply(process.stdout, args),
  )
  const lines: string[] = []
  return () => {
    for (const { args } of written()) if (isLog(args[0])) lines.push(...String(args[0]).trimEnd().split('\n'))
    return lines
  }
}

/** Closes a service, which then writes the rest of its access log, and closes its store. */
export async function closed({ auth, server }: RunningService): Promise<void> {
  const end = once(server, 'close')
  server.close().closeAllConnections()
  await end
  await auth.close()
}
