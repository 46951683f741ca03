/** One process owns a table, and notices when it no longer does. */
import { appendFileSync, closeSync, fstatSync, futimesSync, openSync, readSync, unlinkSync } from 'node:fs'
import { type Claim, claim, isAlive, describe, STALE_MS } from './claim.ts'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'
import { leadsTo } from './files.ts'

/** How often the owner shows that it is alive, and checks that it still has its lock. */
const HEARTBEAT_MS = STALE_MS / 4

/**
 * The lock of a table: a file with the owner's claim in it, which the owner keeps open.
 *
 * Taking it is an election by append: every claimant adds a line, and the first one alive has won. A winner whose claim
 * follows those of dead processes removes the file and starts over with a new one. So each owner has a lock file of its
 * own, and one that was paused for long finds another file under the name, or none. README.md describes the one window
 * that remains.
 */
export class Lock {
  readonly #path: string
  readonly #file: number
  readonly #id: string
  readonly #heartbeat: NodeJS.Timeout
  #isReleased = false

  private constructor(path: string, { file, id }: Won, onLost: (message: string) => void, heartbeatMs: number) {
    this.#path = path
    this.#file = file
    this.#id = id
    this.#heartbeat = setInterval(() => {
      try {
        // This shows processes in other places that the owner is alive.
        futimesSync(file, new Date(), new Date())
        this.check()
      } catch (error) {
        clearInterval(this.#heartbeat)
        onLost(error instanceof StoreError ? error.message : `cannot keep the lock ${path}: ${messageOf(error)}`)
      }
    }, heartbeatMs).unref()
  }

  /**
   * Takes the lock. Its heartbeat does not keep the process running.
   * @param onLost called by the heartbeat, at most once, when the lock is lost or can no longer be kept
   * @throws {StoreError} when a process that is alive has it
   */
  static take(path: string, onLost: (message: string) => void, heartbeatMs = HEARTBEAT_MS): Lock {
    return new Lock(path, elect(path), onLost, heartbeatMs)
  }

  /** Throws `StoreError` unless this process has the lock. It costs three stats and a read. */
  check(): void {
    if (!this.#isReleased && this.#isMine()) return
    throw new StoreError(
      `${this.#path} was deleted or overwritten, or another process has it by now: this process has lost its table; ` +
        'make sure that only one process uses it, and start again',
    )
  }

  /** Gives the lock back. May be called again, and never removes another owner's lock. */
  release(): void {
    if (this.#isReleased) return
    this.#isReleased = true
    clearInterval(this.#heartbeat)
    try {
      if (this.#isMine()) unlinkIfThere(this.#path)
    } catch {
      // The file stays, for example in a directory that has become read-only.
      withdraw(this.#file, this.#id)
    }
    closeSync(this.#file)
  }

  /** True if the name leads to this file and the claim is in it: a file that was emptied may hold another claim. */
  #isMine(): boolean {
    return leadsTo(this.#path, this.#file) && readAll(this.#file).includes(this.#id)
  }
}

/** The open lock file, and the id of the claim in it that has won. */
type Won = { file: number; id: string }

/**
 * Adds a claim of this thread to the lock file. If the file was removed, by another process or, because it had claims
 * of dead ones, by this process, holds another election.
 * @throws {StoreError} when a claimant that is alive came first
 */
function elect(path: string): Won {
  const file = openSync(path, 'a+', 0o600)
  let mine: Claim | undefined
  try {
    // Read the time after the claims, so that none of them is newer, and before this process changes it with its own.
    const claims = readClaims(file)
    const { mtimeMs } = fstatSync(file)
    const dead = new Set(claims.flatMap((claim) => (isAlive(claim, mtimeMs) ? [] : [claim.id])))
    const findFirst = () => readClaims(file).find(({ id }) => !dead.has(id))
    const owner = findFirst()
    if (owner !== undefined) throw heldBy(path, owner)
    mine = claim()
    append(file, mine)
    const first = findFirst()
    if (first !== undefined && first.id !== mine.id) throw heldBy(path, first)
    // Some mounts allow writing but not setting times: better to fail now than at the first heartbeat.
    futimesSync(file, new Date(), new Date())
    const isInPlace = leadsTo(path, file)
    if (isInPlace && dead.size === 0) return { file, id: mine.id }
    if (isInPlace) unlinkIfThere(path)
  } catch (error) {
    // Left in the file, this claim would win when the owner ends, or pass for that of an owner.
    if (mine !== undefined) withdraw(file, mine.id)
    closeSync(file)
    throw error
  }
  closeSync(file)
  return elect(path)
}

/** What a line of the lock file may have: the fields of a claim, or the id of a claim that was withdrawn. */
type Line = Claim & { withdrawn: string }

/**
 * Appends a line. It begins with a line break, so that it does not continue a line that a full disk has torn, and ends
 * with its brace, so that a torn line is never a valid claim.
 */
function append(file: number, line: Partial<Line>): void {
  appendFileSync(file, `\n${JSON.stringify(line)}`)
}

/** Takes a claim back, as far as the disk allows. */
function withdraw(file: number, id: string): void {
  try {
    append(file, { withdrawn: id })
  } catch {}
}

/** The claims in a lock file that were not withdrawn, the oldest first. An empty, torn or foreign line has none. */
function readClaims(file: number): Claim[] {
  const lines = readAll(file)
    .toString()
    .split('\n')
    .flatMap((line): Partial<Line>[] => {
      try {
        return [Object(JSON.parse(line))]
      } catch {
        return []
      }
    })
  const withdrawn = new Set(lines.map((line) => line.withdrawn))
  return lines.filter((line): line is Claim => typeof line.place === 'string' && !withdrawn.has(line.id))
}

/** Removes a file unless it is gone. rmSync would make other calls between the caller's check and the removal. */
function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (Object(error).code !== 'ENOENT') throw error
  }
}

function readAll(file: number): Buffer {
  const bytes = Buffer.alloc(fstatSync(file).size)
  return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, 0))
}

function heldBy(path: string, owner: Claim): StoreError {
  return new StoreError(`${path} is held by ${describe(owner)}`)
}
