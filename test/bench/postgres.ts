/**
 * The service over PostgreSQL against bare selects, and two processes against one: `npm run bench:postgres` with
 * DATABASE_URL=postgres://… of a role that may create databases. It works in a database auth_bench, dropped at the end.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { request, sessionOf } from '../helper/http.ts'
import { end, median, medianRatio, needPackages, options, printTable, workDirectory } from './bench.ts'
import { load, needWrk } from './load.ts'
import { type BenchServer, startService } from './servers.ts'

const NAME = 'auth_bench'
const CLIENTS = 16
const SECONDS = 2

needPackages()
needWrk()
const admin = process.env.DATABASE_URL ?? ''
if (!admin.startsWith('postgres')) {
  console.error('set DATABASE_URL=postgres://… to a database of a role that may create databases')
  process.exit(1)
}
const directory = workDirectory()
const database = Object.assign(new URL(admin), { pathname: `/${NAME}` }).href
const servers: BenchServer[] = []
try {
  await query(admin, 'create', NAME)
  try {
    await measure()
  } finally {
    for (const { child } of servers) await end(child)
    await query(admin, 'drop', NAME)
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}

/** Has a database do something, in a process of its own; resolves with what it prints. */
async function query(url: string, ...settings: string[]): Promise<string> {
  const file = fileURLToPath(new URL('./postgres-child.mjs', import.meta.url))
  try {
    const env = { ...process.env, DATABASE_URL: url }
    return (await promisify(execFile)(process.execPath, [file, ...settings], { env })).stdout.trim()
  } catch (error) {
    throw new Error(error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : `${settings[0]} failed`)
  }
}

/** GET /profile through one process and through two, and bare selects of the same row, in turn. */
async function measure(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    servers.push(await startService(directory, { DATABASE_URL: database, BCRYPT_COST: '4' }))
  }
  const urls = servers.map(({ url }) => url)
  await query(database, 'fill', '10000')
  const email = 'user@example.com'
  const fields = { email, password: 'a password' }
  await request(`${urls[0]}/users`, 'POST', fields)
  const headers = { Cookie: `session_id=${sessionOf(await request(`${urls[0]}/sessions`, 'POST', fields))}` }
  const session = await query(database, 'session', email)
  const profiles = async (urls: string[]) => {
    const loads = urls.map((url) =>
      load(`${url}/profile`, headers, { seconds: SECONDS, connections: CLIENTS / urls.length }),
    )
    return (await Promise.all(loads)).reduce((sum, { rate }) => sum + rate, 0)
  }
  const selects: number[] = []
  const one: number[] = []
  const two: number[] = []
  const rounds = Number(options.rounds ?? 5)
  for (let round = 0; round <= rounds; round++) {
    const bare = Number(await query(database, 'select', session, `${CLIENTS}`, `${SECONDS}`))
    const single = await profiles(urls.slice(0, 1))
    const double = await profiles(urls)
    // The first round warms up.
    if (round === 0) continue
    selects.push(bare)
    one.push(single)
    two.push(double)
  }
  printTable(`PostgreSQL, ${CLIENTS} at once, load by wrk (median of ${rounds} rounds of ${SECONDS} s)`, [
    ['', 'per second', 'to selects', 'to one process'],
    ['bare selects by pg, pool of 10', median(selects), 1, '-'],
    ['GET /profile, one process', median(one), medianRatio(one, selects), 1],
    ['GET /profile, two processes', median(two), medianRatio(two, selects), medianRatio(two, one)],
  ])
}
