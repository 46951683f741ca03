/** Floods of requests whose replies nobody reads. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { LAST, raw, statuses } from './http.ts'

/** A server whose memory is measured. */
export type FloodedServer = { child: ChildProcess; port: number }

/** Options of a test that reads how much memory a process uses. */
export const LINUX_ONLY = existsSync('/proc/self/status') ? {} : { skip: 'the memory of a process is read from /proc' }

/** A script of clients that send small requests without end, and read nothing: `PORT CONNECTIONS`. */
const CLIENTS = `const [, port, connections] = process.argv
const requests = Buffer.from('GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'.repeat(2000))
for (let i = 0; i < connections; i++) {
  const socket = require('node:net').connect(port, '127.0.0.1').pause()
  const send = () => { while (socket.write(requests)) {} }
  socket.on('connect', send).on('drain', send).on('error', () => {})
}`

/** A process's memory in KiB, from Linux's /proc. */
export function memory(child: ChildProcess, name: 'VmRSS' | 'VmHWM'): number {
  return Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1])
}

/** Resolves when a process has used no CPU for half a second. */
export async function idle(child: ChildProcess): Promise<void> {
  const used = () => readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(' ').slice(13, 15).join()
  for (let before = ''; before !== used();) {
    before = used()
    await delay(500)
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('the server has ended')
  }
}

/**
 * Floods a server until it takes nothing more. Returns how far its memory rises (MiB), and how long another client
 * waits meanwhile (ms).
 * @throws {Error} when that client is not answered, or the server ends
 */
export async function flood({ child, port }: FloodedServer, connections: number) {
  const start = memory(child, 'VmRSS')
  const clients = spawn(process.execPath, ['-e', CLIENTS, `${port}`, `${connections}`], { stdio: 'inherit' })
  await delay(1000)
  const began = performance.now()
  if (statuses(await raw(port, LAST))[0] !== 200) throw new Error('another client is not answered')
  const wait = performance.now() - began
  await idle(child)
  clients.kill()
  return { peak: (memory(child, 'VmHWM') - start) / 1024, wait }
}
