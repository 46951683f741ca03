/** Command lines with curl, as the exercise and the README show them. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { Auth } from '../../auth.ts'
import { createService } from '../../server.ts'
import { listen } from './http.ts'

/** What curl received. */
export type Curled = { status: number; head: string; body: unknown }

/**
 * Starts a server of the test's own, with no users. Resolves with a function that runs a command line against it, in place
 * of `localhost:5000`.
 */
export async function startForCurl(t: Test): Promise<(command: string) => Promise<Curled>> {
  const server = createService({
    auth: new Auth({ databaseUrl: 'memory:', bcryptCost: 4 }),
    config: { accessLog: false },
  })
  const port = await listen(server)
  t.teardown(() => server.close())
  return async (command) => {
    const line = command.replace('curl ', 'curl -sSi ').replace('localhost:5000', `127.0.0.1:${port}`)
    const { stdout } = await promisify(execFile)('sh', ['-c', line])
    const [head = '', body = ''] = stdout.split('\r\n\r\n')
    return { status: Number(/^HTTP\/1.1 (\d+)/.exec(head)?.[1]), head, body: body === '' ? null : JSON.parse(body) }
  }
}

/** The session ID in the cookie that curl received. */
export function sessionIn({ head }: Curled): string {
  return /^Set-Cookie: session_id=([^;]+)/m.exec(head)?.[1] ?? ''
}
