/**
 * A process of its own for lock.test.ts. `hold PATH` takes a lock and keeps it; `race DIRECTORY ROUNDS` waits for
 * `DIRECTORY/start`, which says when all begin, and tries to take `DIRECTORY/0`, `1` …, each at the same
 * moment as its rivals; it prints which ones it got.
 */
import { existsSync, readFileSync } from 'node:fs'
import { Lock } from '../../../lib/db/lock.ts'

/** From the start of one round to the next. */
const ROUND_MS = 8
const HEARTBEAT_MS = 100

/** Sleeps without keeping a core busy; only the rounds spin, to begin at exactly the same moment. */
const sleep = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.max(0, ms))

const [mode, path = '', rounds = '0'] = process.argv.slice(2)
if (mode === 'hold') {
  const end = (message: string) => {
    console.error(message)
    process.exit(1)
  }
  try {
    Lock.take(path, end, HEARTBEAT_MS)
    console.log('taken')
    setInterval(() => {}, 60_000)
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
} else {
  console.log('ready')
  while (!existsSync(`${path}/start`)) sleep(5)
  const start = Number(readFileSync(`${path}/start`, 'utf8'))
  sleep(start - Date.now() - 2 * ROUND_MS)
  const won: number[] = []
  const locks: Lock[] = []
  for (let round = 0; round < Number(rounds); round++) {
    while (Date.now() < start + round * ROUND_MS);
    try {
      locks.push(Lock.take(`${path}/${round}`, () => {}))
      won.push(round)
    } catch {}
  }
  // No lock is released before every process has tried every one.
  process.once('SIGTERM', () => process.exit(0))
  setInterval(() => {}, 60_000)
  console.log(`won ${JSON.stringify(won)} kept ${locks.filter(isKept).length}`)
}

function isKept(lock: Lock): boolean {
  try {
    lock.check()
    return true
  } catch {
    return false
  }
}
