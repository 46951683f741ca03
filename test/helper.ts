/** What the tests share: real servers as child processes, and raw sockets. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres, { type Sql } from 'postgres'
import type { Test } from 'tap'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** A directory of the test's own, removed when the test and what it left running have ended. */
export function tempDir(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'auth-test-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** The server for the tests that need PostgreSQL; they make databases of their own on it. */
const POSTGRES = process.env['TEST_DATABASE_URL'] ?? 'postgres://root@127.0.0.1:5432/root'

/** Options of a test that needs PostgreSQL: where there is none it is skipped, but in CI it fails. */
export const NEEDS_POSTGRES = {
  skip:
    process.env['CI'] === undefined && !(await hasPostgres())
      ? 'no PostgreSQL: set TEST_DATABASE_URL=postgres://… to run this test'
      : false,
}

/** Tells whether the server for the tests is there. */
export async function hasPostgres(): Promise<boolean> {
  const sql = postgres(POSTGRES, { connect_timeout: 3 })
  const answered = await sql`select 1`.catch(() => [])
  await sql.end({ timeout: 0 })
  return answered.length > 0
}

/** Makes a database of the test's own; returns its URL, and a connection to another database of the same server. */
export async function createDatabase(t: Test): Promise<{ url: string; name: string; admin: Sql }> {
  const name = `auth_test_${randomUUID().replaceAll('-', '')}`
  const admin = postgres(POSTGRES, { onnotice: () => {} })
  await admin`create database ${admin(name)}`
  t.teardown(async () => {
    await admin`drop database ${admin(name)} with (force)`
    await admin.end()
  })
  const url = new URL(POSTGRES)
  url.pathname = name
  return { url: url.href, name, admin }
}

/** A program of the project that runs as a child process. */
export class Program {
  readonly child: ChildProcess
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  stdout = ''
  stderr = ''

  constructor(file: string, env: Record<string, string>, nodeArgs: string[] = [], args: string[] = []) {
    const tsx = import.meta.resolve('tsx')
    this.child = spawn(process.execPath, ['--import', tsx, ...nodeArgs, join(ROOT, file), ...args], {
      cwd: ROOT,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child.stdout?.on('data', (data) => (this.stdout += data))
    this.child.stderr?.on('data', (data) => (this.stderr += data))
    this.exited = once(this.child, 'close').then(([code, signal]) => ({ code, signal }))
  }

  /** Resolves when stdout or stderr matches, with the match; rejects when the program ends before. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr)
      if (match !== null) return match
      const more = [this.child.stdout, this.child.stderr].map((stream) => stream && once(stream, 'data'))
      const ended = await Promise.race([...more, this.exited.then(() => 'ended' as const)])
      if (ended === 'ended' && !pattern.test(this.stdout + this.stderr)) {
        throw new Error(`the program ended before it printed ${pattern}: ${this.stdout}${this.stderr}`)
      }
    }
  }

  /** Sends a signal and waits for the end; resolves with the exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.child.kill(signal)
    return (await this.exited).code
  }
}

/** A running server; `url` has no slash at its end. */
export type RunningServer = Program & { url: string; port: number }

/** Starts the server with a store and a port of its own; it is killed at the end of the test. */
export async function startServer(
  t: Test,
  env: Record<string, string> = {},
  nodeArgs: string[] = [],
): Promise<RunningServer> {
  const defaults = { HOST: '127.0.0.1', PORT: '0', DATABASE_URL: 'memory:', BCRYPT_COST: '4' }
  const program = new Program('server.ts', { ...defaults, ...env }, nodeArgs)
  t.teardown(async () => {
    program.child.kill('SIGTERM')
    const cutOff = setTimeout(() => program.child.kill('SIGKILL'), 5000)
    await program.exited
    clearTimeout(cutOff)
  })
  const match = await program.printed(/istening on (http:\/\/\S+:(\d+))/)
  return Object.assign(program, { url: match[1] ?? '', port: Number(match[2]) })
}

/** An answer with its payload. */
export type Answered = { status: number; body: unknown; headers: Headers }

/** Sends fields as a form, or a body as it is; does not follow redirects. */
export async function request(
  url: string,
  method: string,
  fields?: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Answered> {
  const body = fields === undefined ? {} : { body: new URLSearchParams(fields) }
  const response = await fetch(url, { method, redirect: 'manual', headers, ...body })
  const text = await response.text()
  return { status: response.status, body: text === '' ? null : JSON.parse(text), headers: response.headers }
}

/** The session ID in an answer's cookie. */
export function sessionOf(answered: Answered): string {
  return /session_id=([^;]*)/.exec(answered.headers.getSetCookie()[0] ?? '')?.[1] ?? ''
}

/** Writes bytes to a port; resolves with all that comes back until the server closes. */
export async function raw(port: number, ...chunks: (string | Uint8Array)[]): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' })
  let received = ''
  socket.on('data', (data) => (received += data))
  socket.on('error', () => {})
  for (const chunk of chunks) socket.write(chunk)
  await once(socket, 'close')
  return received
}
