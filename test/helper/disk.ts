/** Real faults: full disks, files that may not grow, and a user who, unlike root, is bound by file modes. */
import { spawnSync } from 'node:child_process'
import type { Test } from 'tap'
import { tempDir } from './program.ts'

/** Options of a test that needs a command to succeed here. */
export function needs(command: string, ...args: string[]): { skip: string | false } {
  return { skip: spawnSync(command, args).status !== 0 && `cannot ${command} here` }
}

/** Mounts a small disk until the end of the test; `options` skip the test where this user may not mount. */
export function smallDisk(t: Test, size: string): { disk: string; options: { skip: string | false } } {
  const disk = tempDir(t)
  const isMounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', disk]).status === 0
  t.teardown(() => isMounted && spawnSync('umount', ['-l', disk]))
  return { disk, options: { skip: !isMounted && 'this user may not mount a tmpfs' } }
}

/** Options of a test that limits the files of a process. */
export const NEEDS_PRLIMIT = needs('prlimit', '--version')

/** The first lines of a script; its `limit(bytes)` keeps the files that it writes from growing beyond that. */
export const LIMIT = `
  import { spawnSync } from 'node:child_process'
  const limit = (bytes) => spawnSync('prlimit', ['--pid', String(process.pid), '--fsize=' + bytes + ':unlimited'])
  process.on('SIGXFSZ', () => {})
  // Coverage is written after this, and needs room.
  process.on('exit', () => limit('unlimited'))`

/** Options of a test in which a process gives up being root, so that file modes apply to it. */
export const NEEDS_ROOT = { skip: process.getuid?.() === 0 ? (false as const) : 'only root can become another user' }

/** The first lines of a script that runs as the user nobody. */
export const AS_NOBODY = `
  process.setgid(65534)
  process.setuid(65534)`
