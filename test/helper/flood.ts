/** Floods of requests whose replies nobody reads, on the service and on bare node:http. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { raw } from './http.ts'
import { startServer } from './program.ts'

/** A server whose memory is measured. */
type FloodedServer = { child: ChildProcess; port: number }

/** A test's options where the memory of a process is known. */
export const LINUX_ONLY = existsSync('/proc/self/status') ? {} : { skip: 'the memory of a process is read from /proc' }

/** A server on bare node:http with the bytes of `GET /`, for comparison. */
const BARE = `const server = require('node:http').createServer((request, response) => {
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '24' })
  response.end('{"message":"Bienvenue"}\\n')
}).listen(0, '127.0.0.1', () => console.log(server.address().port))`

/** Clients that send small requests until nothing more is taken, and read nothing: `PORT CONNECTIONS`. */
const CLIENTS = `const [, port, connections] = process.argv
const requests = Buffer.from('GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'.repeat(2000))
for (let i = 0; i < connections; i++) {
  const socket = require('node:net').connect(port, '127.0.0.1').pause()
  const send = () => { while (socket.write(requests)) {} }
  socket.on('connect', send).on('drain', send).on('error', () => {})
}`

const LAST = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'

/** Fails the test when the service takes much more memory than node:http, or lets another client wait much longer. */
export async function compareFloods(t: Test, connections: number): Promise<void> {
  const bare = await flood(await startBare(t), connections)
  const ours = await flood(await startServer(t), connections)
  const figures = `${connections} clients: ${JSON.stringify({ bare, ours })}`
  t.comment(figures)
  t.ok(ours.peak <= 1.5 * bare.peak + 60, figures)
  t.ok(ours.wait <= 1.5 * bare.wait + 2000, figures)
}

async function startBare(t: Test): Promise<FloodedServer> {
  const child = spawn(process.execPath, ['-e', BARE], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill())
  const [line] = await once(child.stdout, 'data')
  return { child, port: Number(`${line}`) }
}

/** A figure in kilobytes that Linux keeps of a process. */
function memory(child: ChildProcess, name: 'VmRSS' | 'VmHWM'): number {
  return Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1])
}

/** Resolves when a process has used no CPU for half a second. */
async function idle(child: ChildProcess): Promise<void> {
  const used = () => readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(' ').slice(13, 15).join()
  for (let before = ''; before !== used();) {
    before = used()
    await delay(500)
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('the server has ended')
  }
}

/**
 * Floods a server until it takes nothing more. Returns the peak of memory above the start in MiB, and how long another client
 * waits meanwhile, in milliseconds.
 * @throws {Error} when the server ends
 */
export async function flood({ child, port }: FloodedServer, connections: number) {
  const start = memory(child, 'VmRSS')
  const clients = spawn(process.execPath, ['-e', CLIENTS, `${port}`, `${connections}`], { stdio: 'inherit' })
  await delay(1000)
  const began = performance.now()
  await raw(port, LAST)
  const wait = performance.now() - began
  await idle(child)
  clients.kill()
  return { peak: (memory(child, 'VmHWM') - start) / 1024, wait }
}
