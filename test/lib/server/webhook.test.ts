/** Reset tokens sent to a real receiver, which may be slow, fail, or be away for a while. */
import t, { type Test } from 'tap'
import { Auth, ValueError } from '../../../auth.ts'
import { connectionsOf, drain } from '../../../lib/server/stop.ts'
import { TIMING, Webhook } from '../../../lib/server/webhook.ts'
import { request } from '../../helper/http.ts'
import { startMailer } from '../../helper/mailer.ts'
import { createDatabase, NEEDS_POSTGRES } from '../../helper/postgres.ts'
import { startServer } from '../../helper/program.ts'
import { startService } from '../../helper/service.ts'

const BOB = { email: 'Bob@me.com', password: 'right' }
const QUICK = { ...TIMING, spreadMs: 50, pauseMs: 50 }

/** The lines that webhooks write to stderr while a test runs. */
function captureErrors(t: Test): string[] {
  const lines: string[] = []
  t.intercept(console, 'error', { value: (line: unknown) => /^RESET_WEBHOOK/.test(`${line}`) && lines.push(`${line}`) })
  return lines
}

/** Users, and a webhook for their mails. */
async function startWebhook(t: Test, url: string, emails = [BOB.email], databaseUrl = 'memory:') {
  const auth = new Auth({ databaseUrl, bcryptCost: 4 })
  t.teardown(() => auth.close())
  for (const email of emails) await auth.registerUser(email, 'x')
  return { auth, webhook: new Webhook(auth, url, QUICK) }
}

t.test('the token goes to the receiver, and the answer is the same for everybody', async (t) => {
  const mailer = await startMailer(t)
  const server = await startService(t, { RESET_WEBHOOK: mailer.url })
  await server.auth.registerUser(BOB.email, BOB.password)
  const began = Math.floor(Date.now() / 1000)
  for (const email of ['nobody@me.com', 'bob@me.com', 'x'.repeat(300)]) {
    const answered = await request(`${server.url}/reset_password`, 'POST', { email })
    t.match(answered, { status: 200, body: { email, message: 'reset token sent' } })
  }
  await mailer.mails(1)
  t.match(mailer.received, [{ email: 'Bob@me.com', reset_token: /^[0-9a-f-]{36}$/, expires_at: Number }])
  const [{ reset_token, expires_at } = { reset_token: '', expires_at: 0 }] = mailer.received
  t.ok(expires_at >= began + 3600 && expires_at <= Date.now() / 1000 + 3600)
  t.equal(mailer.headers[0]?.authorization, undefined)
  const form = { email: BOB.email, reset_token, new_password: 'new' }
  t.match(await request(`${server.url}/reset_password`, 'PUT', form), { status: 200 })
})

for (const [engine, options] of Object.entries({ memory: {}, PostgreSQL: NEEDS_POSTGRES })) {
  t.test(`${engine}: each user gets one mail, however many are asked for`, options, async (t) => {
    const mailer = await startMailer(t)
    const users = Array.from({ length: 20 }, (_, i) => `user${i}@me.com`)
    const databaseUrl = engine === 'memory' ? 'memory:' : (await createDatabase(t)).url
    const { auth, webhook } = await startWebhook(t, mailer.url, [BOB.email, ...users], databaseUrl)
    const other = new Webhook(auth, mailer.url, QUICK)
    for (let i = 0; i < 120; i++) for (const one of [webhook, other]) one.send(BOB.email)
    for (let i = 0; i < 400; i++) webhook.send(`nobody${i}@me.com`)
    for (const email of users) webhook.send(email)
    await Promise.all([webhook.settled(), other.settled()])
    webhook.send(BOB.email)
    await webhook.settled()
    t.strictSame(mailer.received.map(({ email }) => email).sort(), [BOB.email, ...users].sort())
    const token = mailer.received.find(({ email }) => email === BOB.email)?.reset_token ?? ''
    await auth.updatePassword(token, 'new', BOB.email)
  })
}

t.test('20,000 requests for unknown emails in one second, and as many for one, delay no other mail', async (t) => {
  const mailer = await startMailer(t)
  const { webhook } = await startWebhook(t, mailer.url)
  for (let i = 0; i < 20_000; i++) for (const email of [`nobody${i}@me.com`, 'nobody@me.com']) webhook.send(email)
  webhook.send(BOB.email)
  await webhook.settled()
  t.match(mailer.received, [{ email: BOB.email }])
})

// One test at a time, as they look at what is printed meanwhile.
t.test('mails survive a receiver in trouble', { jobs: 1 }, async (t) => {
  t.test('a failed mail is tried again with the same token, and given up after four tries', async (t) => {
    const errors = captureErrors(t)
    const mailer = await startMailer(t, [500, 302, 200, 500, 500, 500, 500])
    const { webhook } = await startWebhook(t, mailer.url, [BOB.email, 'ann@me.com'])
    webhook.send(BOB.email)
    await webhook.settled()
    t.equal(mailer.received.length, 3)
    t.equal(new Set(mailer.received.map(({ reset_token }) => reset_token)).size, 1)
    webhook.send('ann@me.com')
    await webhook.settled()
    t.equal(mailer.received.length, 7)
    t.strictSame(errors, [
      'RESET_WEBHOOK: try 1 of 4 failed: the receiver answered 500',
      'RESET_WEBHOOK: try 2 of 4 failed: the receiver answered 302',
      ...[1, 2, 3].map((tries) => `RESET_WEBHOOK: try ${tries} of 4 failed: the receiver answered 500`),
      'RESET_WEBHOOK: gave up after 4 tries: the receiver answered 500',
    ])
  })

  t.test('a mail waits while the receiver is away; the password in its URL is sent, and never printed', async (t) => {
    const errors = captureErrors(t)
    const gone = await startMailer(t)
    const { port } = new URL(gone.url)
    await new Promise((resolve) => gone.server.close(resolve))
    const { webhook } = await startWebhook(t, `http://m%C3%A4iler:s%3Ae%zcret@127.0.0.1:${port}/mail`)
    webhook.send(BOB.email)
    while (errors.length === 0) await new Promise(setImmediate)
    const back = await startMailer(t, [], Number(port))
    await webhook.settled()
    t.match(back.received, [{ email: BOB.email }])
    t.equal(back.headers[0]?.authorization, `Basic ${Buffer.from('mäiler:s:e%zcret').toString('base64')}`)
    t.match(errors.join('\n'), /^RESET_WEBHOOK: try 1 of 4 failed: connect ECONNREFUSED/)
    t.notMatch(errors.join('\n'), /cret/)
  })

  t.test('with a slow receiver, a bounded number of mails is on the way, and the others wait', async (t) => {
    const mailer = await startMailer(t, Array(100).fill(0))
    const users = Array.from({ length: 120 }, (_, i) => `user${i}@me.com`)
    const errors = captureErrors(t)
    const { webhook } = await startWebhook(t, mailer.url, users)
    for (const email of users) webhook.send(email)
    await mailer.mails(100)
    await new Promise((resolve) => setTimeout(resolve, 100))
    t.equal(mailer.received.length, 100)
    mailer.server.closeAllConnections()
    await webhook.settled()
    t.equal(new Set(mailer.received.map(({ email }) => email)).size, 120)
    t.equal(errors.length, 100, 'those that were cut off are tried again')
  })

  t.test('each failure is one line, also of TLS', async (t) => {
    const errors = captureErrors(t)
    const mailer = await startMailer(t)
    const { webhook } = await startWebhook(t, mailer.url.replace('http:', 'https:'))
    webhook.send(BOB.email)
    await webhook.settled()
    t.equal(errors.length, 4)
    for (const line of errors) t.match(line, /^RESET_WEBHOOK: .*[^\n]$/)
  })

  t.test('a try ends at its time limit when the receiver never answers, and a stop does not wait for it', async (t) => {
    const errors = captureErrors(t)
    const mailer = await startMailer(t, [0, 200, 0])
    const { auth } = await startWebhook(t, mailer.url, [BOB.email, 'ann@me.com'])
    const hasty = new Webhook(auth, mailer.url, { ...QUICK, timeoutMs: 1000 })
    hasty.send(BOB.email)
    await hasty.settled()
    t.strictSame(errors, ['RESET_WEBHOOK: try 1 of 4 failed: The operation was aborted due to timeout'])
    const patient = new Webhook(auth, mailer.url, QUICK)
    patient.send('ann@me.com')
    await mailer.mails(3)
    const { server } = await startService(t)
    await drain(server, connectionsOf(server), patient, 100)
    t.equal(mailer.received.length, 3)
    t.equal(errors.at(-1), 'RESET_WEBHOOK: stopped before every mail was sent')
    mailer.server.closeAllConnections()
    await patient.settled()
    t.equal(mailer.received.length, 4)
  })
})

t.test('a program can make a webhook only for an http(s) URL; the error does not show a password', async (t) => {
  const { auth } = await startWebhook(t, 'http://localhost')
  for (const url of ['localhost:9000/hook', 'ftp://x/', 'http://u:secret@host:99999/', '']) {
    const message = 'expected http://… or https://…; write / ? # in a password as %2F %3F %23'
    t.throws(() => new Webhook(auth, url), new ValueError(message), url)
  }
})

t.test('a long answer from the receiver keeps no connection open', async (t) => {
  const mailer = await startMailer(t)
  const users = Array.from({ length: 60 }, (_, i) => `user${i}@me.com`)
  const { webhook } = await startWebhook(t, mailer.url, users)
  for (const email of users) webhook.send(email)
  await webhook.settled()
  t.equal(mailer.received.length, 60)
  const count = () => new Promise<number>((resolve) => mailer.server.getConnections((_, number) => resolve(number)))
  // A connection that can be used again closes after 4 s.
  for (let open = await count(); open > 5; open = await count()) await new Promise((resolve) => setTimeout(resolve, 50))
})

t.test('a bounded number of emails waits to be looked up', async (t) => {
  const errors = captureErrors(t)
  const { webhook } = await startWebhook(t, 'http://127.0.0.1:9')
  for (let i = 0; i <= 30_000; i++) webhook.send(`${i}@me.com`)
  t.strictSame(errors, ['RESET_WEBHOOK: dropped a request, as 30000 are waiting already'])
  await webhook.settled()
})

t.test('a clean stop sends the mails that wait', async (t) => {
  const mailer = await startMailer(t)
  const server = await startServer(t, { RESET_WEBHOOK: mailer.url.replace('//', '//mailer:secret@') })
  await server.printed(/\nReset tokens are sent to RESET_WEBHOOK\n/)
  await request(`${server.url}/users`, 'POST', BOB)
  t.match(await request(`${server.url}/reset_password`, 'POST', BOB), { status: 200 })
  t.equal(await server.stop(), 0)
  t.match(mailer.received, [{ email: BOB.email }])
  t.notMatch(server.stdout + server.stderr, 'secret')
})
