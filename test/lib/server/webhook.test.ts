/** Reset tokens that go to their owner, by a real receiver that is slow, refuses, and comes back. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import t, { type Test } from 'tap'
import { request } from '../../helper/http.ts'
import { Program, startServer } from '../../helper/program.ts'

// Most of the time goes into waiting for limits of the service, which may run out at the same time.
t.jobs = 4

const BOB = { email: 'Bob@me.com', password: 'right' }

/** A mailer that keeps what it receives, and answers with the statuses in turn (0: never), then with 200. */
async function startMailer(t: Test, statuses: number[] = [], port = 0) {
  const received: { email: string; reset_token: string; expires_at: number }[] = []
  const server: Server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    received.push(JSON.parse(body))
    const status = statuses.shift() ?? 200
    if (status !== 0) response.writeHead(status).end()
    server.emit('mail')
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  const url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/mail`
  return { server, received, url }
}

t.test('the token goes to the receiver, and the answer is the same for everybody', async (t) => {
  const mailer = await startMailer(t)
  const server = await startServer(t, { RESET_WEBHOOK: mailer.url })
  await request(`${server.url}/users`, 'POST', BOB)
  const mail = once(mailer.server, 'mail')
  for (const email of ['nobody@me.com', 'bob@me.com']) {
    const answered = await request(`${server.url}/reset_password`, 'POST', { email })
    t.strictSame(answered.body, { email, message: 'reset token sent' })
    t.equal(answered.status, 200)
  }
  await mail
  t.match(mailer.received, [{ email: 'Bob@me.com', reset_token: /^[0-9a-f-]{36}$/, expires_at: Number }])
  t.equal(mailer.received.length, 1)
  const [{ reset_token, expires_at } = { reset_token: '', expires_at: 0 }] = mailer.received
  t.ok(Math.abs(expires_at - Date.now() / 1000 - 3600) < 10)
  const form = { email: BOB.email, reset_token, new_password: 'new' }
  t.match(await request(`${server.url}/reset_password`, 'PUT', form), { status: 200 })
  t.match(server.stdout, /\nReset tokens are sent to RESET_WEBHOOK\n/)
})

t.test('a receiver that fails is tried again, and nobody waits for it', async (t) => {
  const mailer = await startMailer(t, [500, 302, 200])
  const server = await startServer(t, { RESET_WEBHOOK: mailer.url })
  await request(`${server.url}/users`, 'POST', BOB)
  t.match(await request(`${server.url}/reset_password`, 'POST', BOB), { status: 200 })
  for (let mails = 0; mails < 3; mails++) await once(mailer.server, 'mail')
  t.equal(new Set(mailer.received.map(({ reset_token }) => reset_token)).size, 1)
  t.equal(await server.stop(), 0)
  t.match(
    server.stderr,
    /^RESET_WEBHOOK: try 1 of 4 failed: the receiver answered 500\nRESET_WEBHOOK: try 2 of 4 failed: .+\n$/,
  )
  t.notMatch(server.stderr, mailer.received[0]?.reset_token ?? '')
})

t.test('a receiver that is not there, and comes back', async (t) => {
  const gone = await startMailer(t)
  const port = Number(new URL(gone.url).port)
  gone.server.close()
  await once(gone.server, 'close')
  const server = await startServer(t, { RESET_WEBHOOK: gone.url })
  await request(`${server.url}/users`, 'POST', BOB)
  t.match(await request(`${server.url}/reset_password`, 'POST', BOB), { status: 200 })
  await server.printed(/RESET_WEBHOOK: try 1 of 4 failed: connect ECONNREFUSED/)
  const back = await startMailer(t, [], port)
  await once(back.server, 'mail')
  t.match(back.received, [{ email: BOB.email }])
})

t.test('a receiver that never answers: a bounded number waits', async (t) => {
  const mailer = await startMailer(
    t,
    Array.from({ length: 1000 }, () => 0),
  )
  const server = await startServer(t, { RESET_WEBHOOK: mailer.url })
  await request(`${server.url}/users`, 'POST', BOB)
  const asked = Array.from({ length: 120 }, () => request(`${server.url}/reset_password`, 'POST', BOB))
  for (const { status } of await Promise.all(asked)) t.equal(status, 200)
  // On a busy machine, some of the others may have been tried again by now.
  t.equal(server.stderr.match(/^RESET_WEBHOOK: dropped a reset token, as 100 are waiting already$/gm)?.length, 20)
  await server.stop('SIGKILL')
})

t.test('given up after four tries', async (t) => {
  const mailer = await startMailer(t, [500, 500, 500, 500])
  const server = await startServer(t, { RESET_WEBHOOK: mailer.url })
  await request(`${server.url}/users`, 'POST', BOB)
  await request(`${server.url}/reset_password`, 'POST', BOB)
  await server.printed(/RESET_WEBHOOK: gave up after 4 tries: the receiver answered 500\n/)
  t.equal(mailer.received.length, 4)
})

t.test('without the variable the start says who gets the tokens; a bad one is refused', async (t) => {
  const server = await startServer(t)
  await server.printed(/\nReset tokens are handed to anyone who asks; set RESET_WEBHOOK\n/)
  for (const RESET_WEBHOOK of ['', 'mailer', 'ftp://x/', 'http://']) {
    const program = new Program('server.ts', { RESET_WEBHOOK })
    t.match(await program.exited, { code: 1 })
    t.equal(program.stderr, `RESET_WEBHOOK=${RESET_WEBHOOK}: expected http://… or https://…\n`)
  }
})
