/**
 * What a million requests leave in memory: `npm run bench:memory [DIRECTORY] [--node 24,26]`, sent on one connection, and on
 * ten thousand connections in turn. Heap is what is alive after a garbage collection; node keeps more than that (RSS).
 */
import { ask, end, figure, needPackages, printTable, workDirectory } from './bench.ts'
import { pipeline } from './load.ts'
import { lineUp, nodes } from './servers.ts'

/** After these, node has compiled what it will compile. */
const WARM_UP = 100_000
const COUNT = 1_000_000

needPackages()
const directory = workDirectory()
for (const node of nodes()) {
  const { starters, headers } = await lineUp(directory, node, [
    '--expose-gc',
    '--import',
    './test/bench/heap-child.mjs',
  ])
  const rows: (string | number)[][] = []
  for (const [name, start] of starters) {
    if (name !== 'ours' && name !== 'bare') continue
    for (const reuse of [true, false]) {
      const { child, url } = await start()
      const figures = [await ask(child)]
      for (const count of [WARM_UP, COUNT]) {
        await pipeline(`${url}/profile`, headers, count, reuse)
        figures.push(await ask(child))
      }
      await end(child)
      const [atStart = NaN, warm = NaN, last = NaN] = figures.map((each) => figure(each, 'heap'))
      const rss = figures.map((each) => figure(each, 'rss'))
      const label = `${name}, ${reuse ? 'one connection' : `${(COUNT / 100).toLocaleString('en')} connections in turn`}`
      rows.push([label, atStart, warm, last, last / warm, ...rss])
    }
  }
  printTable(`GET /profile, node ${node.version}: MiB at rest, after ${WARM_UP} to warm up, and after ${COUNT} more`, [
    ['', 'heap', 'warm', 'last', 'last to warm', 'RSS', 'warm', 'last'],
    ...rows,
  ])
}
