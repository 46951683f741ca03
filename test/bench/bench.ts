/** The benchmarks' helpers: arguments, medians, tables, users on disk, and child processes that answer with figures. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

/** The project's root. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** The command line: `[DIRECTORY] [--users N] [--rounds N] [--node VERSION,…]`. */
export const { values: options, positionals } = parseArgs({
  options: { users: { type: 'string' }, rounds: { type: 'string' }, node: { type: 'string' } },
  allowPositionals: true,
})

/** Figures by name, as child processes send them. */
export type Figures = ReadonlyMap<string, number>

/** The value below which the given share of the values lies. */
function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN
}

/** The value in the middle. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5)
}

/** The ratio in each round. */
function ratios(values: readonly number[], others: readonly number[]): number[] {
  return values.map((value, round) => value / (others[round] ?? NaN))
}

/** The median of the ratios in each round. */
export function medianRatio(values: readonly number[], others: readonly number[]): number {
  return median(ratios(values, others))
}

/** The median of the ratios in each round, and the range of the middle half of them. */
export function ratioAndSpread(values: readonly number[], others: readonly number[]): string {
  const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => percentile(ratios(values, others), share).toFixed(2))
  return `${middle} (${low}-${high})`
}

/** Prints a title and rows in columns: numbers formatted, and all but the first column aligned to the right. */
export function printTable(title: string, rows: readonly (readonly (string | number)[])[]): void {
  const cells = rows.map((row) => row.map((cell) => (typeof cell === 'number' ? format(cell) : cell)))
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  console.log(`\n${title}`)
  for (const row of cells) {
    const padded = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
    )
    console.log(`  ${padded.join('  ')}`.trimEnd())
  }
}

/** A number rounded to about three significant digits, with thousands separators. */
function format(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits })
}

/** A new directory in the one that the command line names, or else the system's temporary one; removed at exit. */
export function workDirectory(): string {
  const directory = mkdtempSync(join(positionals[0] ?? tmpdir(), 'auth-bench-'))
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  return directory
}

/** Writes a table of users as DB does, but without `last_id`; all have the same password hash. */
export function writeUsers(path: string, count: number, hash = `$2b$12$${'a'.repeat(53)}`): void {
  const file = openSync(path, 'w')
  const rest = `"session_id":null,"reset_token":null,"session_expires_at":null,"reset_expires_at":null}`
  writeSync(file, '{"users":[\n')
  for (let id = 1; id <= count;) {
    let rows = ''
    for (const end = Math.min(count, id + 9999); id <= end; id++) {
      rows += `{"id":${id},"email":"user${id}@example.com","hashed_password":"${hash}",${rest}${id < count ? ',' : ''}\n`
    }
    writeSync(file, rows)
  }
  writeSync(file, ']}\n')
  fsyncSync(file)
  closeSync(file)
}

/** Runs a job in as many loops as there are clients; returns how many jobs ended per second. */
export async function jobsPerSecond(
  clients: number,
  milliseconds: number,
  job: () => Promise<unknown>,
): Promise<number> {
  const start = performance.now()
  let [count, last] = [0, start]
  async function client(): Promise<void> {
    while (performance.now() - start < milliseconds) {
      await job()
      const now = performance.now()
      if (now - start < milliseconds) [count, last] = [count + 1, now]
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  return (count / (last - start)) * 1000
}

/** The children that are running; none outlives this program. */
const children = new Set<ChildProcess>()
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')))

/** Starts a child program of the benchmarks that answers messages with figures. */
export function startChild(file: string, ...args: string[]): ChildProcess {
  const execArgv = [...process.execArgv, '--expose-gc']
  return guard(fork(new URL(file, import.meta.url), args, { cwd: ROOT, execArgv }))
}

/** Makes sure that a child does not outlive this program. */
export function guard(child: ChildProcess): ChildProcess {
  children.add(child)
  return child.once('exit', () => children.delete(child))
}

/** Sends a message to a child and waits for its figures; rejects if the child ends first. */
export async function ask(child: ChildProcess, message: object = {}): Promise<Figures> {
  const figures: unknown = await new Promise((resolve, reject) => {
    const ended = () => reject(new Error(`ended without an answer: ${child.spawnargs.join(' ')}`))
    child.once('exit', ended).once('message', (answer) => {
      child.off('exit', ended)
      resolve(answer)
    })
    child.send(message)
  })
  return new Map(Object.entries(typeof figures === 'object' && figures !== null ? figures : {}))
}

/** Starts a child program, asks it once, and lets it end. */
export async function askOnce(file: string, ...args: string[]): Promise<Figures> {
  const child = startChild(file, ...args)
  const figures = await ask(child)
  child.disconnect()
  await once(child, 'exit')
  return figures
}

/** Kills a child, unless it has ended already. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

/** A figure by its name; NaN if it is missing. */
export function figure(figures: Figures, name: string): number {
  return figures.get(name) ?? NaN
}
