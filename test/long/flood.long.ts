/** Clients that send until the server takes nothing more: the service compared with bare node:http. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { flood, type FloodedServer, LINUX_ONLY } from '../helper/flood.ts'
import { startServer } from '../helper/program.ts'

/** A server on bare node:http with the bytes of `GET /`, for comparison. */
const BARE = `const server = require('node:http').createServer((request, response) => {
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '24' })
  response.end('{"message":"Bienvenue"}\\n')
}).listen(0, '127.0.0.1', () => console.log(server.address().port))`

async function startBare(t: Test): Promise<FloodedServer> {
  const child = spawn(process.execPath, ['-e', BARE], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill())
  const [line] = await once(child.stdout, 'data')
  return { child, port: Number(`${line}`) }
}

t.test('fifty clients that read nothing cost little more than on node:http', LINUX_ONLY, async (t) => {
  const bare = await flood(await startBare(t), 50)
  const ours = await flood(await startServer(t), 50)
  const figures = JSON.stringify({ bare, ours })
  t.comment(figures)
  t.ok(ours.peak <= 1.5 * bare.peak + 60, figures)
  t.ok(ours.wait <= 1.5 * bare.wait + 2000, figures)
})
