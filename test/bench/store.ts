/** The cost of the file store, by default with a million users: `npm run bench:store -- [DIRECTORY] [--users N]`. */
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import {
  ask,
  askOnce,
  end,
  type Figures,
  figure,
  median,
  medianRatio,
  options,
  printTable,
  startChild,
  workDirectory,
  writeUsers,
} from './bench.ts'

/** The size of the largest table. */
const USERS = Number(options.users ?? 1_000_000)

const directory = workDirectory()
await starts()
await writes()
await stalls()
await bursts()

/** A new table in a directory of its own. */
function newTable(users: number): string {
  const path = join(mkdtempSync(join(directory, 'users-')), 'users.json')
  writeUsers(path, users)
  return path
}

/** Start and memory with many users, compared with parsing the same file; each in a process of its own. */
async function starts(): Promise<void> {
  const path = newTable(USERS)
  const opened: Figures[] = []
  const parsed: Figures[] = []
  for (let round = 0; round < Number(options.rounds ?? 5); round++) {
    opened.push(await askOnce('./store-child.ts', 'open', path))
    parsed.push(await askOnce('./store-child.ts', 'parse', path))
  }
  const row = (name: string, runs: Figures[]) => {
    const of = (key: string) => runs.map((run) => figure(run, key))
    const others = parsed.map((run) => figure(run, 'milliseconds'))
    return [
      name,
      median(of('milliseconds')),
      medianRatio(of('milliseconds'), others),
      median(of('rss')),
      median(of('heap')),
    ]
  }
  printTable(`Start and memory with ${USERS.toLocaleString('en')} users`, [
    ['', 'ms', 'ratio', 'RSS MiB', 'heap after GC MiB'],
    row('DB.open', opened),
    row('readFileSync, JSON.parse', parsed),
  ])
}

/** One durable write at a time, by the size of the table. */
async function writes(): Promise<void> {
  const sizes = [1000, 100_000, USERS]
  const times = sizes.map((): number[] => [])
  const children = sizes.map((size) => startChild('./store-child.ts', 'write', newTable(size), `${size}`))
  for (const child of children) await ask(child, { count: 10 })
  for (let round = 0; round < 25; round++) {
    for (const [i, child] of children.entries()) times[i]?.push(figure(await ask(child, { count: 30 }), 'milliseconds'))
  }
  await Promise.all(children.map(end))
  printTable('One durable updateUser, awaited one at a time (median of 25 rounds of 30)', [
    ['users', 'ms', 'ratio'],
    ...sizes.map((size, i) => [
      size.toLocaleString('en'),
      median(times[i] ?? []).toFixed(3),
      medianRatio(times[i] ?? [], times[0] ?? []),
    ]),
  ])
}

/** The longest stall of the event loop while 64 writers write and the log is folded. */
async function stalls(): Promise<void> {
  const figures = await askOnce('./store-child.ts', 'stall', newTable(USERS), `${USERS}`)
  const of = (name: string) => figure(figures, name)
  printTable(`The event loop with ${USERS.toLocaleString('en')} users, while 64 writers write and the log is folded`, [
    ['writes, and the seconds they took', of('writes'), of('seconds')],
    ['the log was folded while they wrote', of('folded') === 1 ? 'yes' : 'NO'],
    ['longest stall, ms', of('longest')],
    ['99.9th percentile, ms', of('p999')],
  ])
}

/** Durable updates per second, compared with the bare disk. */
async function bursts(): Promise<void> {
  const users = Math.min(USERS, 100_000)
  const ours = startChild('./store-child.ts', 'write', newTable(users), `${users}`)
  const append = startChild('./store-child.ts', 'append', join(directory, 'append'))
  const rates = new Map([ours, append].map((child) => [child, [] as number[]]))
  for (const child of rates.keys()) await ask(child, { milliseconds: 200 })
  for (let round = 0; round < 7; round++) {
    for (const [child, list] of rates) list.push(figure(await ask(child, { milliseconds: 1000 }), 'rate'))
  }
  await Promise.all([...rates.keys()].map(end))
  const [written = [], appended = []] = rates.values()
  printTable(`Durable updates per second with ${users.toLocaleString('en')} users (median of 7 rounds of 1 s)`, [
    ['', 'per second', 'ours / this'],
    ['DB.updateUser, 64 writers', median(written), 1],
    ['append and fdatasync, one at a time', median(appended), medianRatio(written, appended)],
  ])
}
