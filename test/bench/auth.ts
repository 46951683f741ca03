/** How close logins come to what bcrypt allows: `npm run bench:auth [DIRECTORY]`. */
import { randomUUID } from 'node:crypto'
import { Agent, request as send, type RequestOptions } from 'node:http'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { hash, verify } from '@node-rs/bcrypt'
import { Auth } from '../../auth.ts'
import { DB } from '../../db.ts'
import { request, sessionOf } from '../helper/http.ts'
import {
  ask,
  end,
  figure,
  jobsPerSecond,
  median,
  medianRatio,
  options,
  percentile,
  printTable,
  startChild,
  workDirectory,
  writeUsers,
} from './bench.ts'
import { startService } from './servers.ts'

const COST = 10
const CLIENTS = 8
const ROUND = 3000
const PASSWORD = 'a password'

const directory = workDirectory()
const env = { BCRYPT_COST: `${COST}`, DATABASE_URL: 'memory:', ACCESS_LOG: '0' }
const { child: server, url } = await startService(directory, env)
const emails = Array.from({ length: CLIENTS }, (_, i) => `user${i}@example.com`)
for (const email of [...emails, 'reader@example.com'])
  await request(`${url}/users`, 'POST', { email, password: PASSWORD })
const reader = await request(`${url}/sessions`, 'POST', { email: 'reader@example.com', password: PASSWORD })
const cookie = `session_id=${sessionOf(reader)}`
const agent = new Agent({ keepAlive: true })
await rates()
await latencies()
await end(server)
await storeShare()
await unknownEmail()
agent.destroy()

/** Sends a request on a kept connection; resolves when the answer is there, rejects when it is not 200. */
function exchange(path: string, settings: RequestOptions, body?: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = send(`${url}${path}`, { agent, ...settings }, (response) => {
      response.resume()
      response.once('end', () => {
        if (response.statusCode === 200) resolve()
        else reject(new Error(`${path}: ${response.statusCode}`))
      })
    })
    sent.once('error', reject).end(body)
  })
}

/** Logins per second, each client with a user of its own. */
function logins(milliseconds: number): Promise<number> {
  let next = 0
  return jobsPerSecond(CLIENTS, milliseconds, () => {
    const body = `${new URLSearchParams({ email: emails[next++ % CLIENTS] ?? '', password: PASSWORD })}`
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': body.length }
    return exchange('/sessions', { method: 'POST', headers }, body)
  })
}

/** Logins over HTTP against bare hashes. */
async function rates(): Promise<void> {
  const bare = startChild('./hash-child.ts', `${COST}`)
  const ours: number[] = []
  const theirs: number[] = []
  await Promise.all([logins(500), ask(bare, { milliseconds: 500 })])
  for (let round = 0; round < Number(options.rounds ?? 5); round++) {
    ours.push(await logins(ROUND))
    theirs.push(figure(await ask(bare, { milliseconds: ROUND }), 'rate'))
  }
  await end(bare)
  printTable(`bcrypt at cost ${COST} (median of ${ours.length} rounds of ${ROUND / 1000} s)`, [
    ['', 'per second', 'ratio'],
    [`POST /sessions, ${CLIENTS} clients`, median(ours), medianRatio(ours, theirs)],
    [`bare hash(), ${availableParallelism()} at once`, median(theirs), 1],
  ])
}

/** The milliseconds of GET /profile, sent 50 times a second whether or not the last is answered. */
async function profiles(milliseconds: number): Promise<number[]> {
  const times: number[] = []
  const sent: Promise<void>[] = []
  const began = performance.now()
  for (let due = began; due < began + milliseconds; due += 20) {
    await delay(Math.max(0, due - performance.now()))
    const start = performance.now()
    sent.push(exchange('/profile', { headers: { cookie } }).then(() => void times.push(performance.now() - start)))
  }
  await Promise.all(sent)
  return times
}

/** The latency of GET /profile with and without logins that take all of the cores. */
async function latencies(): Promise<void> {
  await profiles(500)
  const idle = await profiles(ROUND)
  const [busy] = await Promise.all([profiles(10_000), logins(10_500)])
  printTable('GET /profile, 50 a second, milliseconds', [
    ['', 'p50', 'p99', 'max'],
    ['alone', median(idle), percentile(idle, 0.99), Math.max(...idle)],
    [`while ${CLIENTS} clients log in`, median(busy), percentile(busy, 0.99), Math.max(...busy)],
  ])
}

/** What a session's durable update adds to the check of a password. */
async function storeShare(): Promise<void> {
  const path = join(directory, 'users.json')
  writeUsers(path, 1000)
  const db = new DB(`file:${path}`)
  await db.open()
  const hashed = await hash(PASSWORD, { cost: COST })
  const updates: number[] = []
  const checks: number[] = []
  for (let i = 0; i < 60; i++) {
    updates.push(await time(() => db.updateUser(1 + i, { session_id: randomUUID(), session_expires_at: 2 ** 31 })))
    checks.push(await time(() => verify(PASSWORD, hashed)))
  }
  await db.close()
  const [update, check] = [median(updates), median(checks)]
  printTable('The parts of a login (median of 60)', [
    ['', 'ms', '% of both'],
    ['DB.updateUser in a file', update, (update / (update + check)) * 100],
    [`verify() at cost ${COST}`, check, (check / (update + check)) * 100],
  ])
}

/** What a stopwatch tells of whether an email is known: the times of wrong passwords, one after the other. */
async function unknownEmail(): Promise<void> {
  const bcryptCost = 9
  const settings = { databaseUrl: 'memory:', bcryptCost, loginFailures: 0, accountFailures: 0 }
  const auth = new Auth(settings)
  await auth.registerUser('known@example.com', PASSWORD)
  const known: number[] = []
  const unknown: number[] = []
  for (let i = 0; i < 100; i++) {
    known.push(await time(() => auth.validLogin('known@example.com', 'wrong')))
    unknown.push(await time(() => auth.validLogin('unknown@example.com', 'wrong')))
  }
  printTable(`A wrong password at cost ${bcryptCost} (median of 100)`, [
    ['', 'ms', 'ratio'],
    ['known email', median(known), 1],
    ['unknown email', median(unknown), median(unknown) / median(known)],
  ])
}

/** The milliseconds of a job. */
async function time(job: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await job()
  return performance.now() - start
}
