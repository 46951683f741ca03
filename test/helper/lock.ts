/** Processes that take locks, one alone and many at the same moment. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { Test } from 'tap'
import { Program, tempDir } from './program.ts'

export const CHILD = 'test/lib/db/lock-child.ts'

/** Starts a process that takes a lock and keeps it. */
export async function hold(t: Test, path: string): Promise<Program> {
  const owner = new Program(CHILD, {}, [], ['hold', path])
  t.teardown(() => owner.stop('SIGKILL'))
  await owner.printed(/taken/)
  return owner
}

/** Lets six processes race for each of a number of locks; each lock must get exactly one owner. */
export async function raceForLocks(t: Test, rounds: number): Promise<void> {
  const [directory, rivals] = [tempDir(t), 6]
  const killed = await hold(t, `${directory}/lock`)
  await killed.stop('SIGKILL')
  const dead = readFileSync(`${directory}/lock`, 'utf8')
  // Odd rounds begin with the lock of a killed process, even ones with nothing.
  for (let round = 1; round < rounds; round += 2) writeFileSync(`${directory}/${round}`, dead)
  const racers = Array.from({ length: rivals }, () => {
    const racer = new Program(CHILD, {}, [], ['race', directory, `${rounds}`])
    t.teardown(() => racer.stop())
    return racer
  })
  await Promise.all(racers.map((racer) => racer.printed(/ready/)))
  writeFileSync(`${directory}/soon`, `${Date.now() + 100}`)
  renameSync(`${directory}/soon`, `${directory}/start`)
  const results = await Promise.all(racers.map((racer) => racer.printed(/won (\[.*\]) kept (\d+)/)))
  const won: number[] = results.flatMap(([, rounds = '[]']) => JSON.parse(rounds))
  t.strictSame(
    won.sort((a, b) => a - b),
    Array.from({ length: rounds }, (_, round) => round),
    'each lock has exactly one owner',
  )
  t.equal(
    results.reduce((sum, [, , kept]) => sum + Number(kept), 0),
    rounds,
    'and every owner still has its lock at the end',
  )
}
