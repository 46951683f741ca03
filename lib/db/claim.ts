/** Which process claims a table, and whether it is still alive. */
import { randomUUID } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { hostname } from 'node:os'

/** A process that wants a table: its id, when it started, and where that id means something. */
export type Claim = { id: string; pid: number; started: string; place: string }

/**
 * How long after it last touched the lock file an owner elsewhere counts as dead, in milliseconds. The clocks of machines
 * that share a table must not differ by more.
 */
export const STALE = 10_000

/**
 * Where process ids and start times mean the same as here: on this machine since it booted (clones share host name and
 * namespace numbers, but not the boot ID), and in this container.
 */
const PLACE = [hostname(), readText('/proc/sys/kernel/random/boot_id'), namespaceOf('pid'), namespaceOf('time')].join(
  ' ',
)

/** A new claim of this process. */
export function claim(): Claim {
  return { id: randomUUID(), pid: process.pid, started: startOf(process.pid), place: PLACE }
}

/** Tells whether a claimant is alive; one elsewhere shows it by touching the lock file. `touchedAt` is in Unix milliseconds. */
export function isAlive({ pid, started, place }: Claim, touchedAt: number): boolean {
  // In both directions: a lock from the future, left by a clock that was wrong, is not valid until then.
  if (place !== PLACE) return Math.abs(Date.now() - touchedAt) < STALE
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: it is there, and belongs to another user.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false
  }
  const start = startOf(pid)
  return start === started || start === ''
}

/** What to call the process in a message. */
export function nameOf({ pid, place }: Claim): string {
  return place === PLACE
    ? `process ${pid}`
    : `process ${pid} in another container or on another machine (${place.split(' ')[0]})`
}

/** When a process started: its id may be another's by now. `zombie` if it has ended, empty if the system does not tell. */
function startOf(pid: number): string {
  const [state, ...fields] = readText(`/proc/${pid}/stat`).split(') ').at(-1)?.split(' ') ?? []
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
