/** The child process of store.ts: `store-child.ts open|parse|write|stall|append PATH USERS`. Answers with figures. */
import { randomInt, randomUUID } from 'node:crypto'
import { appendFileSync, fdatasyncSync, openSync, readFileSync, statSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { DB } from '../../db.ts'
import { jobsPerSecond, median } from './bench.ts'

const [, , mode = '', path = '', users = ''] = process.argv
const db = new DB(`file:${path}`)

/** Changes the session of a random user, as a login does. */
function update(): Promise<void> {
  return db.updateUser(randomInt(1, Number(users) + 1), { session_id: randomUUID() })
}

/** Times a start, and weighs what it leaves in memory; `kept` holds that until it has been weighed. */
async function weigh(start: () => unknown): Promise<object> {
  const began = performance.now()
  const kept = await start()
  const milliseconds = performance.now() - began
  globalThis.gc?.()
  const { rss, heapUsed } = process.memoryUsage()
  return { milliseconds, rss: rss / 2 ** 20, heap: heapUsed / 2 ** 20, kept: kept === undefined ? 0 : 1 }
}

/** The median time of a write, in milliseconds, over a number of writes one at a time. */
async function timeWrites(count: number): Promise<object> {
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    const began = performance.now()
    await update()
    times.push(performance.now() - began)
  }
  return { milliseconds: median(times) }
}

/** Writes with 64 writers until a second after a fold, or for 90 seconds; finds the event loop's longest stall. */
async function stall(): Promise<object> {
  await db.open()
  const before = statSync(path).ino
  const monitor = monitorEventLoopDelay({ resolution: 1 })
  monitor.enable()
  const began = performance.now()
  let [writes, folded] = [0, 0]
  const watch = setInterval(() => {
    if (folded === 0 && statSync(path).ino !== before) folded = performance.now()
  }, 20)
  async function writer(): Promise<void> {
    for (let now = began; now < began + 90_000 && !(folded > 0 && now > folded + 1000); now = performance.now()) {
      await update()
      writes++
    }
  }
  await Promise.all(Array.from({ length: 64 }, writer))
  monitor.disable()
  clearInterval(watch)
  return {
    writes,
    seconds: (performance.now() - began) / 1000,
    folded: folded > 0 ? 1 : 0,
    longest: monitor.max / 1e6,
    p999: monitor.percentile(99.9) / 1e6,
  }
}

/** Appends and syncs lines one at a time: the rate that the disk allows without group commit. */
function append(milliseconds: number): object {
  const file = openSync(path, 'a')
  const line = `${'x'.repeat(250)}\n`
  const began = performance.now()
  let count = 0
  for (; performance.now() - began < milliseconds; count++) {
    appendFileSync(file, line)
    fdatasyncSync(file)
  }
  return { rate: (count / (performance.now() - began)) * 1000 }
}

if (mode === 'write') await db.open()
process.on('message', async (message: { count?: number; milliseconds?: number }) => {
  const { count = 0, milliseconds = 0 } = message
  let figures: object = {}
  if (mode === 'open') figures = await weigh(() => db.open())
  else if (mode === 'parse') figures = await weigh(() => JSON.parse(readFileSync(path, 'utf8')))
  else if (mode === 'stall') figures = await stall()
  else if (mode === 'append') figures = append(milliseconds)
  else if (count > 0) figures = await timeWrites(count)
  else if (milliseconds > 0) figures = { rate: await jobsPerSecond(64, milliseconds, update) }
  process.send?.(figures)
})
process.on('disconnect', async () => {
  if (mode === 'open') await db.close()
  process.exit()
})
