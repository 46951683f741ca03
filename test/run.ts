/**
 * `npm test`, or `npm test -- FILE…` for some of them: runs tap, prints a line for each test file or group of them and, at
 * the end, what failed and where. Stopping it stops every process that a test has started.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import type { Result } from 'tap-parser'

/** What tap says about a failure, as far as it is printed in a way of its own. */
type Diagnosis = {
  at?: { fileName: string; lineNumber: number; columnNumber: number }
  stack?: string
  source?: string
  diff?: string
}

const TAP = 'node_modules/.bin/tap'
if (!existsSync(TAP)) {
  console.error('npm test needs the development packages: run npm ci without --omit=dev')
  process.exit(1)
}
// npm installs tap built with all of its plug-ins; that for TypeScript cannot load the compiler that this project uses.
if (readFileSync('node_modules/@tapjs/test/test-built/dist/esm/index.js', 'utf8').includes('@tapjs/typescript')) {
  spawnSync(process.execPath, [TAP, 'build'], { stdio: ['ignore', 'ignore', 'inherit'] })
}
// tap, the tests and all that they start are one process group of their own: a signal reaches every one of them.
const tap = spawn(process.execPath, [TAP, '--reporter=tap', ...process.argv.slice(2)], {
  detached: true,
  stdio: ['ignore', 'pipe', 'inherit'],
})
const ended = once(tap, 'exit')
for (const [signal, number] of Object.entries({ SIGHUP: 1, SIGINT: 2, SIGTERM: 15 })) {
  process.on(signal, () => {
    if (tap.pid !== undefined) process.kill(-tap.pid, 'SIGKILL')
    process.exit(128 + number)
  })
}

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
await once(tap.stdout.pipe(parser), 'complete')
for (const { fullname, diag } of failed) {
  const { at, stack, source, diff, ...rest }: Diagnosis = diag ?? {}
  const place = at === undefined ? '' : `${at.fileName}:${at.lineNumber}:${at.columnNumber} `
  console.log(`\n${place}${fullname}\n${diff ?? inspect(rest)}\n${stack ?? ''}`.trimEnd())
}
console.log(`\n${passed} passed, ${failed.length} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`)
const [code] = await ended
process.exitCode = code ?? 1
