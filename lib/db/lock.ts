/** One process owns a table. */
import { randomUUID } from 'node:crypto'
import { closeSync, fstatSync, openSync, readFileSync, rmSync, statSync, utimes, writeSync } from 'node:fs'
import { hostname } from 'node:os'
import { StoreError } from './engine.ts'

/** Who wants a table: a process, when it was started, and on which machine or in which container it is. */
type Claim = { pid: number; started: string; place: string; id: string }

/** Process ids mean something only here: on this host, and in this container. */
const PLACE = `${hostname()} ${statSync('/proc/self/ns/pid', { throwIfNoEntry: false })?.ino}`
/** How old the lock of a process elsewhere is when that process is taken for dead, in milliseconds. */
const STALE = 10_000

/**
 * Claims a table for this process; returns what gives it back. Every claimant adds a line to the lock file, and the first
 * one that lives has the table: so nobody has to take over the lock of a killed process, at which two could meet.
 * @throws {StoreError} when another process has it
 */
export function claim(path: string): () => void {
  const mine: Claim = { pid: process.pid, started: startOf(process.pid), place: PLACE, id: randomUUID() }
  for (;;) {
    const file = openSync(path, 'a+', 0o600)
    try {
      // The look comes before the line, which makes the file look touched.
      const dead = readClaims(path).filter((claim) => !isAlive(claim, path))
      const checkFirst = () => {
        const owner = readClaims(path).find(({ id }) => !dead.some((claim) => claim.id === id))
        if (owner !== undefined && owner.id !== mine.id) {
          throw new StoreError(`${path}: process ${owner.pid} on ${owner.place} has this table; stop it first`)
        }
      }
      checkFirst()
      // Between two line ends: a torn line before it, from a full disk, is not glued to it.
      writeSync(file, `\n${JSON.stringify(mine)}\n`)
      checkFirst()
      // An owner that stops removes the file; a claim in a file that is no longer there is none.
      if (statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(file).ino) break
    } finally {
      closeSync(file)
    }
  }
  const heartbeat = setInterval(() => utimes(path, new Date(), new Date(), () => {}), STALE / 4).unref()
  return () => {
    clearInterval(heartbeat)
    rmSync(path, { force: true })
  }
}

/** The claims in a lock file, the oldest first, without lines that are empty or torn. */
function readClaims(path: string): Claim[] {
  return readFileSync(path, 'utf8').split('\n').flatMap(parseClaim)
}

/** The claim on a line of the lock file; none on an empty or torn one. */
function parseClaim(line: string): Claim[] {
  try {
    const claim: Claim | null = JSON.parse(line)
    return typeof claim?.id === 'string' ? [claim] : []
  } catch {
    return []
  }
}

/** Tells whether a claimant is still there; one elsewhere shows it by touching the lock file. */
function isAlive({ pid, started, place }: Claim, path: string): boolean {
  if (place !== PLACE) return statSync(path).mtimeMs > Date.now() - STALE
  return startOf(pid) === started
}

/** When a process was started: another one may have its id by now. Where the system does not say, whether it is there. */
function startOf(pid: number): string {
  try {
    const [state, ...fields] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? []
    return `${state === 'Z'} ${fields[18]}`
  } catch {}
  try {
    process.kill(pid, 0)
    return 'alive'
  } catch {
    return 'dead'
  }
}
