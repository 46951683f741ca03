/** Command lines with curl, as the exercise and the README show them. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import type { Auth } from '../../auth.ts'
import { startService } from './service.ts'

/** The reply that curl received. */
export type Curled = { status: number; head: string; body: unknown }

/** Starts a service with no users; `curl` runs a command line against it, in place of `localhost:5000`. */
export async function startForCurl(t: Test): Promise<{ curl: (command: string) => Promise<Curled>; auth: Auth }> {
  const { auth, port } = await startService(t)
  const curl = async (command: string) => {
    const line = command.replace('curl ', 'curl -sSi ').replace('localhost:5000', `127.0.0.1:${port}`)
    const { stdout } = await promisify(execFile)('sh', ['-c', line])
    const [head = '', body = ''] = stdout.split('\r\n\r\n')
    return { status: Number(/^HTTP\/1.1 (\d+)/.exec(head)?.[1]), head, body: body === '' ? null : JSON.parse(body) }
  }
  return { curl, auth }
}

/** The session ID in the cookie that curl received. */
export function sessionIn({ head }: Curled): string {
  return /^Set-Cookie: session_id=([^;]+)/m.exec(head)?.[1] ?? ''
}
