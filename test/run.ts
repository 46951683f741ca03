/**
 * `npm test`, or `npm test -- FILE…` for some of them: runs tap, prints a line for each test file and, at the end, what
 * failed and where, and how many assertions passed. Stopping it stops every process that a test has started.
 *
 * Coverage is measured when all tests run. Without PostgreSQL some are skipped, so it could not be complete.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { inspect } from 'node:util'
import type { Result } from 'tap-parser'

/** tap's program; npm runs a script in the project's directory. */
const TAP = 'node_modules/.bin/tap'
/** How long interrupted tests may take to stop, in milliseconds. */
const STOP_TIMEOUT = 5000

/**
 * Builds tap without the plug-ins that package.json takes out; `npm ci` installs it built with all of them. tap would do so
 * too, but would still run these tests with all of them. Without those that no test needs, a test file starts in a sixth less
 * time.
 */
function build(): void {
  if (!existsSync(TAP)) fail('npm test needs the development packages: run npm ci without --omit=dev')
  const built = 'node_modules/@tapjs/test/test-built/dist/esm/index.js'
  if (existsSync(built) && !readFileSync(built, 'utf8').includes('@tapjs/mock')) return
  const { status, stdout, stderr } = spawnSync(process.execPath, [TAP, 'build'], { encoding: 'utf8' })
  if (status !== 0) fail(`tap build failed: ${stdout}${stderr}`)
}

function fail(message: string): never {
  console.error(message)
  process.exit(1)
}

/** Tells whether all tests can run, so that together they have to cover everything. */
async function isComplete(files: string[]): Promise<boolean> {
  if (files.length > 0) return false
  const { hasPostgres } = await import('./helper/postgres.ts')
  return hasPostgres()
}

/**
 * Reports what is not covered; returns whether everything is. tap's own report at the end of a run finds everything covered
 * whatever ran: the source maps of tsx bring an empty copy of the source, which the report then takes for the source.
 */
function checkCoverage(): boolean {
  const directory = '.tap/coverage'
  for (const name of readdirSync(directory)) {
    const file = join(directory, name)
    const coverage = JSON.parse(readFileSync(file, 'utf8'))
    for (const { data } of Object.values<{ data: { sourcesContent?: unknown } | null }>(coverage['source-map-cache'])) {
      delete data?.sourcesContent
    }
    writeFileSync(file, JSON.stringify(coverage))
  }
  return spawnSync(process.execPath, [TAP, 'report', 'text'], { stdio: 'inherit' }).status === 0
}

/** What tap says about a failure, as far as it is printed in a way of its own. */
type Diagnosis = {
  at?: { fileName: string; lineNumber: number; columnNumber: number }
  stack?: string
  source?: string
  diff?: string
}

/** Prints what tap reports; resolves with the closing line. */
async function report(output: Readable): Promise<string> {
  const { Parser } = await import('tap-parser')
  const parser = new Parser()
  let [passed, skipped] = [0, 0]
  const failed: Result[] = []
  parser.on('pass', () => passed++)
  parser.on('skip', () => skipped++)
  parser.on('fail', (result: Result) => failed.push(result))
  parser.on('extra', (line: string) => process.stdout.write(line))
  parser.on('assert', ({ ok, name, time }: Result) => {
    console.log(`${ok ? 'ok    ' : 'FAILED'} ${name} (${((time ?? 0) / 1000).toFixed(1)} s)`)
  })
  output.pipe(parser)
  await once(parser, 'complete')
  for (const { fullname, diag } of failed) {
    const { at, stack, source, diff, ...rest }: Diagnosis = diag ?? {}
    const place = at === undefined ? '' : `${at.fileName}:${at.lineNumber}:${at.columnNumber} `
    console.log(`\n${place}${fullname}\n${diff ?? inspect(rest)}\n${stack ?? ''}`.trimEnd())
  }
  return `${passed} passed, ${failed.length} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`
}

/** Runs the given tests, or all; resolves with the exit code. */
async function run(files: string[]): Promise<number> {
  const isMeasured = await isComplete(files)
  // tap, the tests and all that they start are one process group of their own: a signal reaches every one of them.
  const coverage = isMeasured ? '--allow-incomplete-coverage' : '--disable-coverage'
  const tap = spawn(process.execPath, [TAP, '--reporter=tap', coverage, ...files], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const signalAll = (signal: NodeJS.Signals) => {
    try {
      if (tap.pid !== undefined) process.kill(-tap.pid, signal)
    } catch {
      // All have ended.
    }
  }
  let interrupted = 0
  const interrupt = (code: number) => {
    if (interrupted > 0) return
    interrupted = code
    signalAll('SIGTERM')
    setTimeout(signalAll, STOP_TIMEOUT, 'SIGKILL').unref()
  }
  for (const [signal, number] of Object.entries({ SIGHUP: 1, SIGINT: 2, SIGTERM: 15 })) {
    process.on(signal, () => interrupt(128 + number))
  }
  // npm was killed and passed no signal on.
  const parent = process.ppid
  setInterval(() => process.ppid === parent || interrupt(1), 500).unref()
  // The reader of the output is gone, as in `npm test | head`.
  process.stdout.on('error', () => interrupt(1))

  const reported = report(tap.stdout)
  const [code] = await once(tap, 'exit')
  signalAll('SIGKILL')
  const summary = await reported
  const isCovered = !isMeasured || code !== 0 || checkCoverage()
  if (!isCovered) console.log('The coverage is under 100 %: see the table above.')
  console.log(`\n${summary}`)
  return interrupted || (isCovered ? (code ?? 1) : 1)
}

build()
process.exitCode = await run(process.argv.slice(2))
