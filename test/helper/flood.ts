/** Floods of requests whose replies nobody reads, on the service and on bare node:http. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { raw } from './http.ts'
import { startServer } from './program.ts'

/** How many clients there are, how often each sends 2,000 requests, and what the service may take beyond node:http, in MiB. */
type Flood = { connections: number; batches: number; allowance: number }

/** A test's options where the memory of a process is known. */
export const LINUX_ONLY = existsSync('/proc/self/status') ? {} : { skip: 'the memory of a process is read from /proc' }

/** A server on bare node:http with the bytes of `GET /`, for comparison. */
const BARE = `const server = require('node:http').createServer((request, response) => {
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '24' })
  response.end('{"message":"Bienvenue"}\\n')
}).listen(0, '127.0.0.1', () => console.log(server.address().port))`

/** Clients that send small requests and read nothing: `PORT CONNECTIONS BATCHES`. */
const CLIENTS = `const [, port, connections, batches] = process.argv
const requests = Buffer.from('GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'.repeat(2000))
for (let i = 0; i < connections; i++) {
  const socket = require('node:net').connect(port, '127.0.0.1').pause()
  let sent = 0
  const send = () => { while (sent++ < batches && socket.write(requests)) {} }
  socket.on('connect', send).on('drain', send).on('error', () => {})
}`

const LAST = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'

/** Fails the test when the service takes much more memory than node:http, or lets another client wait much longer. */
export async function compareFloods(t: Test, { connections, batches, allowance }: Flood): Promise<void> {
  const bare = await flood(await startBare(t), connections, batches)
  const ours = await flood(await startServer(t), connections, batches)
  const figures = `${connections} clients: ${JSON.stringify({ bare, ours })}`
  t.comment(figures)
  t.ok(ours.peak <= 1.5 * bare.peak + allowance, figures)
  t.ok(ours.wait <= 1.5 * bare.wait + 2000, figures)
}

async function startBare(t: Test): Promise<{ child: ChildProcess; port: number }> {
  const child = spawn(process.execPath, ['-e', BARE], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill())
  const [line] = await once(child.stdout, 'data')
  return { child, port: Number(`${line}`) }
}

/** A figure in kilobytes that Linux keeps of a process. */
function memory(child: ChildProcess, name: 'VmRSS' | 'VmHWM'): number {
  return Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1])
}

/** Floods a server until another client is answered; returns the peak of memory above idle in MiB, and how long that took. */
async function flood({ child, port }: { child: ChildProcess; port: number }, connections: number, batches: number) {
  const idle = memory(child, 'VmRSS')
  const clients = spawn(process.execPath, ['-e', CLIENTS, port, connections, batches].map(String), { stdio: 'inherit' })
  await delay(1000)
  const began = performance.now()
  await raw(port, LAST)
  clients.kill()
  return { peak: (memory(child, 'VmHWM') - idle) / 1024, wait: performance.now() - began }
}
