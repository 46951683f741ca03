/** Helpers for the store's files: checks of files and paths, temporary files, ending the process. */
import { randomUUID } from 'node:crypto'
import { type BigIntStats, fstatSync, readdirSync, readFileSync, statSync, unlinkSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'

/**
 * The stats of a regular file; `undefined` when there is none. Only ENOENT means "none": after EACCES there may be a
 * table.
 * @throws {StoreError} when there is something else under the name; opening a FIFO would wait forever
 */
export function statFile(path: string): BigIntStats | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false })
  if (stats !== undefined && !stats.isFile()) throw new StoreError(`${path} is not a regular file; move it away`)
  return stats
}

/** True if a name still leads to an open file. */
export function leadsTo(path: string, file: number): boolean {
  const named = statSync(path, { bigint: true, throwIfNoEntry: false })
  const { dev, ino } = fstatSync(file, { bigint: true })
  return named?.dev === dev && named.ino === ino
}

/** The end of the name of a file that is being written. Its UUID keeps two processes from using the same file. */
const TEMPORARY = /-(wal-)?tmp-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** A name for the file that will take the place of `path`. */
export function temporaryName(path: string): string {
  return `${path}-tmp-${randomUUID()}`
}

/** Removes a table's temporary files, so that a former owner, paused right before a rename, has nothing to rename. */
export function removeTemporary(path: string): void {
  for (const name of readdirSync(dirname(path))) {
    const end = TEMPORARY.exec(name)
    if (end !== null && name.slice(0, end.index) === basename(path)) unlinkSync(join(dirname(path), name))
  }
}

/** Throws `StoreError` if a fold could not replace the file at a path, or another table may use the name. */
export function checkPlace(path: string): void {
  if (/-(wal|lock)$/.test(path) || TEMPORARY.test(path)) {
    throw new StoreError(`${path} may belong to another table: choose a name without -wal, -tmp or -lock at its end`)
  }
  if (!isMounted(path)) return
  throw new StoreError(
    `${path} is mounted as a file, which cannot be replaced by a newer table: mount its directory instead`,
  )
}

/** True if something is mounted at exactly this path; always false on a system without /proc. */
function isMounted(path: string): boolean {
  // Characters that separate fields are escaped in octal (proc(5)).
  const escaped = path.replace(/[ \t\n\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`)
  try {
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
    return mounts.some((line) => line.split(' ')[4] === escaped)
  } catch {
    return false
  }
}

/**
 * Ends the process after a step that failed, as nobody knows what the disk holds then. A failed fsync is not tried
 * again: the system may have marked the lost data as written, and the next fsync would succeed (Rebello et al., "Can
 * Applications Recover from fsync Failures?", USENIX ATC 2020).
 */
export function exitAfter(step: string, error: unknown): never {
  exitWith(`cannot ${step}: ${messageOf(error)}; start again to continue with what is on the disk`)
}

/** Says in one line why the process ends, and ends it. What was acknowledged is on the disk. */
export function exitWith(reason: string): never {
  console.error(reason)
  process.exit(1)
}
