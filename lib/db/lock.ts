/** One process owns a table, and notices when it no longer does. */
import { appendFileSync, closeSync, fstatSync, futimesSync, openSync, readSync, rmSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { type Claim, claim, isAlive, nameOf, STALE } from './claim.ts'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'
import { missingDirectory } from './files.ts'

/**
 * The lock of a table: a file with the owner's claim on its first line, which the owner keeps open.
 *
 * Taking it is an election by append: every claimant adds a line, and the first one alive has won. A winner behind the
 * claims of the dead removes the file and starts over with a new one. So nobody owns a file that somebody else has owned,
 * and an owner that was stopped for long finds another file under the name, or none. What remains: a process that stops
 * for ten seconds within the microseconds between a look and the step after it may remove the lock of its successor, which
 * notices at its next `check`.
 */
export class Lock {
  readonly #path: string
  readonly #file: number
  readonly #id: string
  readonly #heartbeat: NodeJS.Timeout
  #isReleased = false

  private constructor(path: string, { file, id }: Won, onLost: (error: StoreError) => void) {
    this.#path = path
    this.#file = file
    this.#id = id
    this.#heartbeat = setInterval(() => {
      try {
        this.keep()
      } catch (error) {
        clearInterval(this.#heartbeat)
        onLost(error instanceof StoreError ? error : new StoreError(messageOf(error)))
      }
    }, STALE / 4).unref()
  }

  /**
   * Takes the lock. After `kill -9` of its owner that works at once; when the owner was in another container or on another
   * machine, ten seconds after its last heartbeat. The lock does not keep the process running.
   * @param onLost called by the heartbeat, at most once, when the lock is lost or can no longer be kept
   * @throws {StoreError} when a process that is alive has it, or it cannot be written
   */
  static take(path: string, onLost: (error: StoreError) => void): Lock {
    try {
      for (;;) {
        const won = elect(path)
        if (won !== undefined) return new Lock(path, won, onLost)
      }
    } catch (error) {
      throw error instanceof StoreError ? error : cannotWrite(path, error)
    }
  }

  /**
   * Shows the owners of other places that this process is alive. The heartbeat does that, which whatever is synchronous and
   * takes seconds has to do by itself.
   * @throws {StoreError} when the lock is lost, or cannot be kept
   */
  keep(): void {
    try {
      futimesSync(this.#file, new Date(), new Date())
    } catch (error) {
      throw new StoreError(`cannot keep the lock ${this.#path}: ${messageOf(error)}`)
    }
    this.check()
  }

  /**
   * Throws unless this process has the lock. It costs a stat by name, and reading a line.
   * @throws {StoreError} when the lock file was deleted, replaced or overwritten, or the lock was released
   */
  check(): void {
    if (!this.#isReleased && this.#isMine()) return
    throw new StoreError(
      `${this.#path} was deleted or overwritten, or another process has it by now: this process has lost its table; ` +
        'make sure that only one process uses it, and start again',
    )
  }

  /** Gives the lock back. May be called again, and never removes the lock of another. */
  release(): void {
    if (this.#isReleased) return
    this.#isReleased = true
    clearInterval(this.#heartbeat)
    // In a directory that has become read-only it stays, and holds nobody up once this process has ended.
    try {
      if (this.#isMine()) rmSync(this.#path, { force: true })
    } catch {}
    closeSync(this.#file)
  }

  /** Tells whether the name leads to the owner's file, and the owner's claim is still the first in it. */
  #isMine(): boolean {
    return isAt(this.#path, this.#file) && readClaims(this.#file)[0]?.id === this.#id
  }
}

/** A lock that was won: its file, which is open, and the claim's ID. */
type Won = { file: number; id: string }

/**
 * Adds a claim of this process to the lock file. Returns the lock when it has won the table, and nothing when a file of the
 * dead was removed, by this process or another: then the next election decides.
 * @throws {StoreError} when somebody alive came first
 */
function elect(path: string): Won | undefined {
  const file = openSync(path, 'a+', 0o600)
  let hasWon = false
  try {
    // Claims before the time: one that is added in between touches the file. This process adds its own after both.
    const claims = readClaims(file)
    const { mtimeMs } = fstatSync(file)
    const dead = new Set(claims.flatMap((claim) => (isAlive(claim, mtimeMs) ? [] : [claim.id])))
    const findFirst = () => readClaims(file).find(({ id }) => !dead.has(id))
    const owner = findFirst()
    if (owner !== undefined) throw isTaken(path, owner)
    const mine = claim()
    append(file, mine)
    const first = findFirst()
    if (first !== undefined && first.id !== mine.id) {
      // Otherwise this process, for as long as it runs, would be next in line.
      append(file, { withdrawn: mine.id })
      throw isTaken(path, first)
    }
    hasWon = isAt(path, file) && dead.size === 0
    if (isAt(path, file) && !hasWon) rmSync(path, { force: true })
    return hasWon ? { file, id: mine.id } : undefined
  } finally {
    if (!hasWon) closeSync(file)
  }
}

/** A line of the lock file: a claim, or that one was withdrawn. */
type Line = Claim & { withdrawn: string }

/**
 * Appends a line, behind a line end of its own: a line that a full disk has torn must not swallow it. It ends with its last
 * brace, so that what is torn off never leaves a claim that counts.
 */
function append(file: number, line: Partial<Line>): void {
  appendFileSync(file, `\n${JSON.stringify(line)}`)
}

/** The claims in a lock file that were not withdrawn, the oldest first. A line that is empty or torn has none. */
function readClaims(file: number): Claim[] {
  const bytes = Buffer.alloc(fstatSync(file).size)
  const text = bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, 0))
  const lines = text.split('\n').flatMap((line): Partial<Line>[] => {
    try {
      return [Object(JSON.parse(line))]
    } catch {
      return []
    }
  })
  const withdrawn = new Set(lines.map((line) => line.withdrawn))
  return lines.filter((line): line is Claim => line.id !== undefined && !withdrawn.has(line.id))
}

/** Tells whether a file that is open is still the one under this name. */
function isAt(path: string, file: number): boolean {
  const named = statSync(path, { bigint: true, throwIfNoEntry: false })
  const opened = fstatSync(file, { bigint: true })
  return named?.ino === opened.ino && named.dev === opened.dev
}

function isTaken(path: string, owner: Claim): StoreError {
  return new StoreError(`${path} is held by ${nameOf(owner)}; stop it first`)
}

/** The refusal for an error of the file system. */
function cannotWrite(path: string, error: unknown): StoreError {
  const code = error instanceof Error && 'code' in error ? error.code : ''
  if (code === 'ENOENT') return missingDirectory(resolve(path))
  const isFull = code === 'ENOSPC' || code === 'EDQUOT'
  const advice = isFull ? 'make room on the disk' : `let this user create files in ${dirname(resolve(path))}`
  return new StoreError(`cannot write the lock ${path}: ${messageOf(error)}; ${advice}`)
}
