/** Which thread of which process claims a table, and whether it is still alive. */
import { randomUUID } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { hostname } from 'node:os'

/**
 * A thread that wants a table: its process, its own id, when it started, and where these ids mean something. A thread,
 * as a worker may end long before its process does.
 */
export type Claim = { id: string; pid: number; thread: string; started: string; place: string }

/**
 * How long after it last touched the lock file an owner elsewhere counts as dead. The clocks of machines that share a
 * table must not differ by more.
 */
export const STALE_MS = 10_000

/**
 * Where process ids and start times mean the same as here: on this machine since it booted (clones share host name and
 * namespace numbers, but not the boot ID), and in this container.
 */
const PLACE = [hostname(), readText('/proc/sys/kernel/random/boot_id'), namespaceOf('pid'), namespaceOf('time')].join(
  ' ',
)

/** This thread's id; empty if the system does not tell. */
const THREAD = readText('/proc/thread-self/stat').split(' ')[0] ?? ''

/** A new claim of this thread. */
export function claim(): Claim {
  const started = startOf(`${process.pid}/task/${THREAD}`)
  return { id: randomUUID(), pid: process.pid, thread: THREAD, started, place: PLACE }
}

/**
 * True if a claimant is alive; one elsewhere shows it by touching the lock file. `touchedAt` is in Unix milliseconds.
 */
export function isAlive({ pid, thread, started, place }: Claim, touchedAt: number): boolean {
  // abs: a timestamp in the future, from a wrong clock, must not keep the lock until then.
  if (place !== PLACE) return Math.abs(Date.now() - touchedAt) < STALE_MS
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: it is there, and belongs to another user.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false
  }
  const start = startOf(`${pid}/task/${thread}`)
  // Where not even the process is visible (no /proc, or hidepid), the signal alone has shown that it is alive.
  return start === started || (start === '' && startOf(`${pid}`) === '')
}

/** Who has the table, and what to do about it, for people. */
export function describe({ pid, place }: Claim): string {
  if (place !== PLACE) {
    return `process ${pid} in another container or on another machine (${place.split(' ')[0]}); stop it first`
  }
  return pid === process.pid
    ? 'this process itself, by another DB; use that one, or close it first'
    : `process ${pid}; stop it first`
}

/**
 * When a process or thread started, because its id may have been given to another since. `zombie` if it has ended,
 * empty if the system does not tell.
 */
function startOf(task: string): string {
  const [state, ...fields] = readText(`/proc/${task}/stat`).split(') ').at(-1)?.split(' ') ?? []
  return state === 'Z' ? 'zombie' : (fields[18] ?? '')
}

/** The number of a namespace of this process; empty where there are none. */
function namespaceOf(kind: string): string {
  return `${statSync(`/proc/self/ns/${kind}`, { throwIfNoEntry: false })?.ino ?? ''}`
}

/** The text of one of the system's files, if it is there. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim()
  } catch {
    return ''
  }
}
