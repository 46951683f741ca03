/** What every file of the store needs: its identity, its sync, and the end of the process when a file cannot be trusted. */
import { type BigIntStats, lstatSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import { unlink } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'

/**
 * What the file system knows about a regular file; `undefined` when there is none. Only ENOENT means that: a file that
 * cannot be looked at may hold rows.
 * @throws {StoreError} when there is something else under the name; opening a FIFO would wait for ever
 */
export function statFile(path: string): BigIntStats | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false })
  if (stats !== undefined && !stats.isFile()) throw new StoreError(`${path} is not a regular file; move it away`)
  return stats
}

/** Tells whether both are the same file. Its names may change, its inode does not. */
export function isSameFile(one: BigIntStats | undefined, other: BigIntStats): boolean {
  return one?.dev === other.dev && one.ino === other.ino
}

/**
 * Throws unless a name still leads to this file. A stopped owner that wakes up may put a temporary file of its own under the
 * name of its successor's; renamed, that would replace the table.
 */
export function mustBe(path: string, file: BigIntStats): void {
  if (isSameFile(statSync(path, { bigint: true, throwIfNoEntry: false }), file)) return
  throw new Error(`another process has deleted or replaced ${path}`)
}

/** Tells whether a file is still the same one, with the same content. */
export function isUnchanged(now: BigIntStats, before: BigIntStats | undefined): boolean {
  return before !== undefined && isSameFile(now, before) && now.size === before.size && now.mtimeNs === before.mtimeNs
}

/**
 * Throws when no table may be kept at a path.
 * @throws {StoreError} when a fold could not replace the file there, or the fold of another table would replace it
 */
export function checkPlace(path: string): void {
  if (/-(wal|wal-old|wal-tmp|tmp|lock)$/.test(path)) {
    throw new StoreError(`${path} may belong to another table: choose a name without -wal, -tmp or -lock at its end`)
  }
  if (!isMounted(path)) return
  throw new StoreError(`${path} is mounted as a file, which no newer table can replace: mount its directory instead`)
}

/** Tells whether something is mounted right at a path, where the system says so. */
function isMounted(path: string): boolean {
  // See proc(5); what would separate fields is octal there.
  const escaped = path.replace(/[ \t\n\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`)
  try {
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
    return mounts.some((line) => line.split(' ')[4] === escaped)
  } catch {
    return false
  }
}

/** The error for a file in a directory that is not there. */
export function missingDirectory(path: string): StoreError {
  return new StoreError(`the directory ${dirname(path)} is missing: create it, or correct the path`)
}

/** Where a path leads, even when there is no file yet: every path to a table has to meet the same lock. */
export function followLinks(path: string): string {
  // Throws when links form a circle.
  statSync(path, { throwIfNoEntry: false })
  let target = path
  for (;;) {
    if (statSync(dirname(target), { throwIfNoEntry: false }) === undefined) throw missingDirectory(target)
    target = join(realpathSync(dirname(target)), basename(target))
    if (lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return target
    target = resolve(dirname(target), readlinkSync(target))
  }
}

/** Removes what an interrupted attempt may have left under a name; a link goes, not what it leads to. */
export async function removeLeftover(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) await unlink(path)
}

/**
 * Waits for a step, and ends the process if it fails, as nobody knows what the disk holds then. A failed fsync is not
 * tried again, as the page cache may call lost data clean afterwards (Rebello et al., "Can Applications Recover from
 * fsync Failures?", USENIX ATC 2020).
 */
export async function mustWork(step: Promise<void>, what: string): Promise<void> {
  await step.catch((error) =>
    stop(`cannot ${what}: ${messageOf(error)}; start again to go on with what is on the disk`),
  )
}

/** Says in one line why the process ends, and ends it. What was acknowledged is on the disk. */
export function stop(reason: string): never {
  console.error(reason)
  process.exit(1)
}
