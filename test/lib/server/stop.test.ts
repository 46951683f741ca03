/** A stop: every request that is carried out is answered, whatever signals come. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request as send } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { connectionsOf, drain } from '../../../lib/server/stop.ts'
import '../../helper/jobs.ts'
import { BOB, get, post, request, sessionOf } from '../../helper/http.ts'
import { ROOT, startServer, tempDir } from '../../helper/program.ts'
import { startService } from '../../helper/service.ts'
import { emailsIn, filesAt } from '../../helper/store.ts'

const HEAD = 'POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n'

/** Registers a user on a connection of the agent; resolves with the status, or 0 when the connection breaks. */
function register(agent: Agent, port: number, email: string): Promise<number> {
  return new Promise((resolve) => {
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' }
    const sent = send({ agent, port, host: '127.0.0.1', path: '/users', method: 'POST', headers }, (response) => {
      response.on('end', () => resolve(response.statusCode ?? 0)).resume()
    })
    sent.on('error', () => resolve(0)).end(`email=${email}&password=x`)
  })
}

t.test('at a stop under load, every registration that is carried out is answered', async (t) => {
  for (let round = 0; round < 2; round++) {
    const path = `${tempDir(t)}/users.json`
    const server = await startServer(t, { DATABASE_URL: `file:${path}`, ACCESS_LOG: '0' })
    const answered: string[] = []
    const clients = Array.from({ length: 32 }, async (_, client) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      for (let i = 0; ; i++) {
        const email = `${client}-${i}@me.com`
        const status = await register(agent, server.port, email)
        if (status !== 200) break
        if (answered.push(email) === 200) server.child.kill('SIGTERM')
      }
      agent.destroy()
    })
    await Promise.all(clients)
    t.match(await server.exited, { code: 0 })
    t.strictSame(emailsIn(path).sort(), answered.sort())
  }
})

t.test('a request that is on its way on an idle connection is answered, with Connection: close', async (t) => {
  for (let isLate = true; isLate;) {
    const server = await startServer(t)
    const socket = connect({ port: server.port, host: '127.0.0.1' })
    socket.write(get('/'))
    let received = ''
    socket.on('data', (data) => (received += data))
    await once(socket, 'data')
    t.match(received, /Connection: keep-alive/)
    const stopped = performance.now()
    server.child.kill('SIGTERM')
    await server.printed(/^stopping\n/m)
    received = ''
    await new Promise((sent) => socket.write(get('/'), sent))
    // If this process was too slow, the request was not on its way in time: try again.
    isLate = performance.now() - stopped > 200
    await once(socket, 'close')
    t.ok(isLate || /^HTTP\/1.1 200 .*Connection: close.*Bienvenue/s.test(received), 'it is answered')
    t.match(await server.exited, { code: 0 })
    t.match(server.stdout, /\nstopped\n$/)
  }
})

t.test('a stop cuts off what takes longer than its limit', async (t) => {
  const { server, port } = await startService(t)
  const connections = connectionsOf(server)
  const socket = connect({ port, host: '127.0.0.1' }).on('error', () => {})
  socket.write(`${HEAD}Content-Length: 9\r\n\r\n`)
  await once(server, 'request')
  const began = performance.now()
  await Promise.all([once(socket, 'close'), drain(server, connections, null, 500)])
  t.ok(performance.now() - began > 490, 'and not before')
})

t.test('npm start passes a signal on', async (t) => {
  const env = { ...process.env, HOST: '127.0.0.1', PORT: '0', DATABASE_URL: 'memory:' }
  const npm = spawn('npm', ['start'], { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  npm.stdout.on('data', (data) => (printed += data))
  while (!/Listening/.test(printed)) await once(npm.stdout, 'data')
  npm.kill('SIGTERM')
  // stdout closes when the last process that has it has ended.
  await once(npm.stdout, 'close')
  t.match(printed, /\nstopping\nstopped\n$/)
})

t.test('a stop and a start lose nothing', async (t) => {
  const env = { DATABASE_URL: `file:${tempDir(t)}/users.json` }
  const first = await startServer(t, env)
  await request(`${first.url}/users`, 'POST', BOB)
  const session = sessionOf(await request(`${first.url}/sessions`, 'POST', BOB))
  const silent = connect({ port: first.port, host: '127.0.0.1' })
  await once(silent, 'connect')
  t.equal(await first.stop('SIGINT'), 0, 'a connection without a request does not delay the stop')
  const second = await startServer(t, env)
  const cookie = `session_id=${session}`
  const profile = await request(`${second.url}/profile`, 'GET', undefined, { cookie })
  t.match(profile, { status: 200, body: { email: BOB.email } })
  t.match(await request(`${second.url}/users`, 'POST', BOB), { status: 400 })
})

t.test('a stop finishes what is in flight, and more signals change nothing', async (t) => {
  const server = await startServer(t)
  const socket = connect({ port: server.port, host: '127.0.0.1' })
  socket.write(`${HEAD}Content-Length: 22\r\n\r\n`)
  const idle = connect({ port: server.port, host: '127.0.0.1' })
  await request(server.url, 'GET')
  server.child.kill('SIGTERM')
  await server.printed(/^stopping\n/m)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) server.child.kill(signal)
  // From here on, only what is in flight keeps the server running.
  await once(idle.resume(), 'close')
  socket.write('email=a%40b&password=x')
  t.match(await text(socket), /^HTTP\/1.1 200 .*\r\nConnection: close\r\n/s)
  t.match(await server.exited, { code: 0, signal: null })
  t.match(server.stdout, /"POST \/users HTTP\/1.1" 200 41\n/, 'the access log is flushed')
  t.equal(server.stdout.match(/stopping/g)?.length, 1)
})

t.test('SIGTERM stops the server cleanly as soon as it says that it listens', async (t) => {
  const path = `${tempDir(t)}/users.json`
  const server = await startServer(t, { DATABASE_URL: `file:${path}` })
  t.equal(await server.stop(), 0)
  t.strictSame(filesAt(path), [])
})

t.test('a closed terminal stops it cleanly; a hash that nobody waits for does not delay that', async (t) => {
  const server = await startServer(t)
  server.child.kill('SIGHUP')
  t.match(await server.exited, { code: 0 })
  t.match(server.stdout, /^stopping\nstopped\n/m)
  // A hash at this cost takes about 15 seconds.
  const hashing = await startServer(t, { BCRYPT_COST: '18' })
  const socket = connect({ port: hashing.port, host: '127.0.0.1' })
  socket.write(post('/users', BOB))
  t.match(await request(hashing.url, 'GET'), { status: 200 })
  socket.destroy()
  hashing.child.kill('SIGTERM')
  await hashing.printed(/^stopped\n/m)
  t.match(await hashing.exited, { signal: 'SIGTERM' }, 'not by exit(), which waits for the hash')
})
