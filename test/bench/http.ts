/**
 * The service as shipped, access log and all, against node:http, fastify and express: `npm run bench [DIRECTORY]`, and with
 * `--memory` what a million requests leave in memory.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { hash } from '@node-rs/bcrypt'
import { request, sessionOf } from '../helper/http.ts'
import {
  type BenchServer,
  end,
  median,
  medianRatio,
  needPackages,
  options,
  percentile,
  printTable,
  startServer,
  startService,
  workDirectory,
  writeUsers,
} from './bench.ts'
import { load, type Load, TOOL } from './load.ts'

const USERS = 10_000
const FEW_USERS = 1000
const SECONDS = 4
const RIVALS = ['bare', 'fastify', 'express']

needPackages()
const directory = workDirectory()
const hashed = await hash('a password', { cost: 4 })
const users = options.memory ? FEW_USERS : USERS
const ours = await startOurs(users)
const answered = await request(`${ours.url}/sessions`, 'POST', { email: 'user1@example.com', password: 'a password' })
const session = sessionOf(answered)
const headers = { Cookie: `session_id=${session}` }
const settings = await profileSettings()
if (options.memory) await memory()
else {
  await throughput()
  await starts()
}
await end(ours.child)

/** Starts the service over a new file of users. */
function startOurs(users: number): Promise<BenchServer> {
  const path = join(directory, `users-${performance.now()}.json`)
  writeUsers(path, users, hashed)
  return startService(directory, { BCRYPT_COST: '4', DATABASE_URL: `file:${path}` })
}

/** Starts one of the others. */
function startRival(name: string): Promise<BenchServer> {
  return startServer(directory, ['test/bench/rivals.mjs', name, settings])
}

/** What our GET /profile answers, for the bare server to answer too, without what node adds by itself. */
async function profileSettings(): Promise<string> {
  const response = await fetch(`${ours.url}/profile`, { headers })
  if (response.status !== 200) throw new Error(`GET /profile: ${response.status}`)
  const added = ['date', 'connection', 'keep-alive']
  const sent = [...response.headers].filter(([name]) => !added.includes(name))
  const body = await response.text()
  return JSON.stringify({ headers: Object.fromEntries(sent), body, email: 'user1@example.com', session })
}

/** Requests per second on both routes, all servers in turn. */
async function throughput(): Promise<void> {
  const servers = new Map([['ours', ours]])
  for (const name of RIVALS) servers.set(name, await startRival(name))
  const rounds = Number(options.rounds ?? 5)
  for (const path of ['/profile', '/']) {
    const loads = new Map([...servers.keys()].map((name) => [name, [] as Load[]]))
    for (let round = 0; round <= rounds; round++) {
      for (const [name, { url }] of servers) {
        const measured = await load(url + path, headers, SECONDS)
        // The first round warms up.
        if (round > 0) loads.get(name)?.push(measured)
      }
    }
    const rates = (name: string) => (loads.get(name) ?? []).map(({ rate }) => rate)
    const row = (name: string) => [
      name,
      median(rates(name)),
      median((loads.get(name) ?? []).map(({ p99 }) => p99)),
      medianRatio(rates(name), rates('bare')),
    ]
    const fastify = rates('fastify')
    const wins = rates('ours').filter((rate, round) => rate > (fastify[round] ?? Infinity)).length
    printTable(`GET ${path}, 16 connections, by ${TOOL} (median of ${rounds} rounds of ${SECONDS} s)`, [
      ['', 'per second', 'p99 ms', 'to bare'],
      ...[...servers.keys()].map(row),
      ['ours was faster than fastify in rounds', `${wins} of ${rounds}`],
    ])
  }
  for (const name of RIVALS) await end((servers.get(name) ?? ours).child)
}

/** The milliseconds from the spawn to the first answer. */
async function starts(): Promise<void> {
  const times = new Map(['ours', ...RIVALS].map((name) => [name, [] as number[]]))
  for (let round = 0; round < 5; round++) {
    for (const [name, list] of times) {
      const began = performance.now()
      const { child, url } = await (name === 'ours' ? startOurs(FEW_USERS) : startRival(name))
      await fetch(url)
      list.push(performance.now() - began)
      await end(child)
    }
  }
  printTable('Start to first answer, ours with tsx and 1,000 users (median of 5)', [
    ['', 'ms', 'slowest'],
    ...[...times].map(([name, list]) => [name, median(list), percentile(list, 1)]),
  ])
}

/** The memory of ours and of the bare server at rest, and after more and more requests. */
async function memory(): Promise<void> {
  const marks = [0, 100_000, 500_000, 1_000_000, 2_000_000]
  const servers = new Map([
    ['ours', ours],
    ['bare', await startRival('bare')],
  ])
  const rows: (string | number)[][] = []
  for (const [name, { child, url }] of servers) {
    const row: (string | number)[] = [name]
    let sent = 0
    for (const mark of marks) {
      while (sent < mark) sent += (await load(`${url}/profile`, headers, 1)).requests
      await delay(2000)
      row.push(residentMiB(child.pid))
    }
    rows.push(row)
    await end(child)
  }
  printTable(`Resident memory in MiB after so many requests, ours with tsx and ${users.toLocaleString('en')} users`, [
    ['', ...marks.map((mark) => mark.toLocaleString('en'))],
    ...rows,
  ])
}

/** The resident memory of a process, in MiB. */
function residentMiB(pid: number | undefined): number {
  return Number(execFileSync('ps', ['-o', 'rss=', '-p', `${pid}`], { encoding: 'utf8' })) / 1024
}
