/** Which thread of which process claims a table, and whether it is still alive. */
import { randomUUID } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { hostname } from 'node:os'

/**
 * A thread's claim to a table: the claim's own id, the thread and its process, when the thread started, and the place
 * in which these numbers are valid (`PLACE`). Threads claim, not processes, as a worker may end before its process.
 */
export type Claim = { id: string; pid: number; thread: string; started: string; place: string }

/**
 * An owner in another place counts as dead when it has not touched the lock file for this long. The clocks of machines
 * that share a table must not differ by more.
 */
export const STALE_MS = 10_000

/**
 * Where this process's id and start time are valid: in this container, on this machine, since it booted. The boot ID
 * tells cloned machines apart, which share the host name and the namespace numbers.
 */
const PLACE = `${hostname()} ${readText('/proc/sys/kernel/random/boot_id')} ${namespaceOf('pid')} ${namespaceOf('time')}`

/** The operating system's id of this thread; empty on a system without /proc. */
const THREAD = readText('/proc/thread-self/stat').split(' ')[0] ?? ''

/** A new claim of this thread. */
export function claim(): Claim {
  const started = startOf(`${process.pid}/task/${THREAD}`)
  return { id: randomUUID(), pid: process.pid, thread: THREAD, started, place: PLACE }
}

/** True if a claimant is alive. In another place, it shows this by touching the lock file, last at `touchedAt` (ms). */
export function isAlive({ pid, thread, started, place }: Claim, touchedAt: number): boolean {
  // abs: a timestamp in the future, from a wrong clock, must not keep the lock until then.
  if (place !== PLACE) return Math.abs(Date.now() - touchedAt) < STALE_MS
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: the process exists, and belongs to another user.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false
  }
  const start = startOf(`${pid}/task/${thread}`)
  // Where not even the process is visible (no /proc, or hidepid), the signal alone has shown that it is alive.
  return start === started || (start === '' && startOf(`${pid}`) === '')
}

/** Who has the table, and what to do about it, for people. */
export function describe({ pid, place }: Claim): string {
  if (place !== PLACE) {
    const elsewhere = `in another container or on another machine (${place.split(' ')[0]})`
    return `process ${pid} ${elsewhere}; stop it first, or wait ${STALE_MS / 1000} seconds if it has died`
  }
  return pid === process.pid
    ? 'this process itself, by another DB; use that one, or close it first'
    : `process ${pid}; stop it first, or delete the lock if these files are a copy`
}

/**
 * When a process or thread started (field 22 of its `stat`, proc(5)), which tells it from a later one with the same id.
 * `zombie` if it has ended and has not been reaped, empty if /proc does not show it.
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
