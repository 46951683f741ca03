/**
 * `npm test` runs the groups of tests, `npm test -- FILE…` only those files: two at a time, with a line for each and,
 * at the end, what failed and where. Stopping it stops the processes that tests have started.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { inspect } from 'node:util'
import type { Result } from 'tap-parser'

/** The parts of tap's report of a failure that are printed separately; `source` is not printed. */
type Diagnosis = {
  at?: { fileName: string; lineNumber: number; columnNumber: number }
  stack?: string
  source?: string
  diff?: string
}

const { Parser } = await import('tap-parser').catch(() => {
  console.error('npm test needs the development packages: run npm ci without --omit=dev')
  process.exit(1)
})
const given = process.argv.slice(2)
const files = given.length > 0 ? given : readdirSync('test/groups').map((name) => `test/groups/${name}`)
const seconds = Number(process.env.TAP_TIMEOUT ?? 600)
const running = new Set<ChildProcess>()
let [passed, skipped] = [0, 0]
const failed: Result[] = []

// Each file runs in a process of its own, without tap's runner, which would cost as much again as the tests. That
// process and all that it starts are one process group, so that a signal reaches every one of them.
async function run(file: string): Promise<void> {
  const started = performance.now()
  const child = spawn(process.execPath, ['--import', 'tsx', file], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TAP_TIMEOUT: String(seconds) },
  })
  running.add(child)
  const stuck = setTimeout(() => kill(child), (seconds + 30) * 1000)
  const parser = new Parser({ name: file })
  parser.on('pass', () => passed++)
  parser.on('skip', () => skipped++)
  parser.on('fail', (result: Result) => failed.push(result))
  parser.on('extra', (line: string) => process.stdout.write(line))
  const [[code], [{ ok }]] = await Promise.all([once(child, 'exit'), once(child.stdout.pipe(parser), 'complete')])
  clearTimeout(stuck)
  running.delete(child)
  const isGood = code === 0 && ok
  if (!isGood) process.exitCode = 1
  console.log(`${isGood ? 'ok    ' : 'FAILED'} ${file} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
}

function kill(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // It has ended meanwhile.
  }
}

for (const [signal, number] of Object.entries({ SIGHUP: 1, SIGINT: 2, SIGTERM: 15 })) {
  process.on(signal, () => {
    for (const child of running) kill(child)
    process.exit(128 + number)
  })
}

async function runInTurn(): Promise<void> {
  for (let file = files.shift(); file !== undefined; file = files.shift()) await run(file)
}
await Promise.all([runInTurn(), runInTurn()])

for (const { fullname, diag } of failed) {
  const { at, stack, source, diff, ...rest }: Diagnosis = diag ?? {}
  const place = at === undefined ? '' : `${at.fileName}:${at.lineNumber}:${at.columnNumber} `
  console.log(`\n${place}${fullname}\n${diff ?? inspect(rest)}\n${stack ?? ''}`.trimEnd())
}
console.log(`\n${passed} passed, ${failed.length} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`)
