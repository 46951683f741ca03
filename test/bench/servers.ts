/** The servers that the benchmarks compare, each in a process of its own, on any version of node. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, copyFileSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { hash } from '@node-rs/bcrypt'
import { request, sessionOf } from '../helper/http.ts'
import { guard, options, ROOT, writeUsers } from './bench.ts'

/** A server in a child process; `url` has no slash at its end. */
export type BenchServer = { child: ChildProcess; url: string }

/** A version of node, its program, and whether it runs TypeScript by itself. */
type Node = { version: string; program: string; runsTypes: boolean }

/** Servers that answer GET /, and GET /profile with these headers; `starters` has a function for each name. */
export type LineUp = { starters: Map<string, () => Promise<BenchServer>>; headers: Record<string, string> }

const USERS = 1000
const FIELDS = { email: 'user1@example.com', password: 'a password' }
const WITH_TSX = ['--import', 'tsx', 'server.ts']

/** The versions that `--node` names, from the npm package `node`; by default the one that runs this. */
export function nodes(): Node[] {
  const execPath = (version: string) =>
    run('npm', 'exec', '--yes', `--package=node@${version}`, '--', 'node', '-p', 'process.execPath')
  const programs = options.node?.split(',').map(execPath) ?? [process.execPath]
  return programs.map((program) => {
    const version = run(program, '-p', 'process.version')
    return { version, program, runsTypes: run(program, '-p', 'Boolean(process.features.typescript)') === 'true' }
  })
}

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8' }).trim()
}

/** The service, `ours`, with a table of users, and its rivals, of which `bare` sends the same bytes as the service. */
export async function lineUp(directory: string, node: Node): Promise<LineUp> {
  const table = join(directory, `table-${node.version}.json`)
  writeUsers(table, USERS, await hash(FIELDS.password, { cost: 4 }))
  const { child, url } = await startService(directory, { DATABASE_URL: `file:${table}`, BCRYPT_COST: '4' })
  const session = sessionOf(await request(`${url}/sessions`, 'POST', FIELDS))
  const headers = { Cookie: `session_id=${session}` }
  const answers = { '/': await answerOf(`${url}/`, headers), '/profile': await answerOf(`${url}/profile`, headers) }
  child.kill('SIGTERM')
  await once(child, 'exit')

  const ours = (command: string[]) => () => {
    const copy = join(directory, `users-${performance.now()}.json`)
    copyFileSync(table, copy)
    return startServer(directory, command, { DATABASE_URL: `file:${copy}` }, node.program)
  }
  const settings = JSON.stringify({ answers, email: FIELDS.email, session })
  const rival = (name: string) => () =>
    startServer(directory, ['test/bench/rivals.mjs', name, settings], {}, node.program)
  const starters = new Map([
    ['ours', ours(WITH_TSX)],
    ['bare', rival('bare')],
    ['fastify with its logger', rival('fastifyWithLogger')],
    ['fastify', rival('fastify')],
    ['express', rival('express')],
  ])
  if (node.runsTypes) starters.set('ours without tsx', ours(['server.ts']))
  return { starters, headers }
}

/** The body of an answer, and its headers without those that node adds by itself. */
async function answerOf(url: string, headers: Record<string, string>): Promise<object> {
  const response = await fetch(url, { headers })
  if (response.status !== 200) throw new Error(`GET ${url}: ${response.status}`)
  const added = ['date', 'connection', 'keep-alive']
  const sent = [...response.headers].filter(([name]) => !added.includes(name))
  return { headers: Object.fromEntries(sent), body: await response.text() }
}

/** Starts the service as shipped, but on a free port and without a limit on failed logins. */
function startService(directory: string, env: Record<string, string>): Promise<BenchServer> {
  return startServer(directory, WITH_TSX, { LOGIN_FAILURES: '0', ...env })
}

/** Starts a server with its stdout in a file; resolves when it has printed where it listens. */
async function startServer(
  directory: string,
  command: readonly string[],
  env: Record<string, string>,
  program = process.execPath,
): Promise<BenchServer> {
  const log = join(directory, `${performance.now()}.log`)
  const stdout = openSync(log, 'a')
  const child = guard(
    spawn(program, command, {
      cwd: ROOT,
      env: { ...process.env, NODE_ENV: 'production', HOST: '127.0.0.1', PORT: '0', ...env },
      stdio: ['ignore', stdout, 'inherit'],
    }),
  )
  closeSync(stdout)
  for (;;) {
    const url = /istening on (http:\S+)/.exec(readFileSync(log, 'utf8'))?.[1]
    if (url !== undefined) return { child, url }
    if (child.exitCode !== null) throw new Error(`the server did not start: ${command.join(' ')}`)
    await delay(2)
  }
}

/** The seconds of CPU, user and system, that a server has used; from Linux's /proc, see proc(5). */
export function cpuSeconds({ child }: BenchServer): number {
  const [utime, stime] = readFileSync(`/proc/${child.pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
    .slice(11)
  return (Number(utime) + Number(stime)) / 100
}

/** The resident memory of a server, in MiB. */
export function residentMiB({ child }: BenchServer): number {
  return Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024
}
