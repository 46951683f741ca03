/**
 * The cost of a request to the service as shipped, compared with bare node:http, fastify and express: `npm run bench --
 * [DIRECTORY] [--node 24,26] [--rounds N]`, on the node that runs it or on versions from the registry. The service
 * writes its access log to a file, and so does the fastify that logs. CPU per request is what an operator pays for; the
 * highest rate also depends on how often the process that makes the load gets its turn.
 */
import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { end, median, options, printTable, ratioAndSpread, workDirectory } from './bench.ts'
import { load, needWrk } from './load.ts'
import { type BenchServer, cpuSeconds, type LineUp, lineUp, nodes, residentMiB } from './servers.ts'

/** Requests per second while CPU is measured. */
const RATE = 18_000
const LOAD = { connections: 200, seconds: 2 }
const ROUNDS = Number(options.rounds ?? 5)
/** How long a server is left alone before its memory is read. */
const REST_MS = 1000

needWrk()
if (!existsSync(new URL('./node_modules', import.meta.url))) {
  console.error('run `npm ci --prefix test/bench` first')
  process.exit(1)
}
const directory = workDirectory()
for (const node of nodes()) {
  const servers = await lineUp(directory, node)
  for (const path of ['/', '/profile']) await costs(`GET ${path}, node ${node.version}`, servers, path)
  await starts(`node ${node.version}`, servers)
}

/** Measures CPU per request at one rate, and the highest rate, of all servers in turn. */
async function costs(title: string, { starters, headers }: LineUp, path: string): Promise<void> {
  const runs: { name: string; server: BenchServer; cpu: number[]; reached: number[]; highest: number[] }[] = []
  for (const [name, start] of starters) runs.push({ name, server: await start(), cpu: [], reached: [], highest: [] })
  for (const { server } of runs) await load(server.url + path, headers, LOAD)
  for (let round = 0; round < ROUNDS; round++) {
    for (const { server, cpu, reached, highest } of runs) {
      const before = cpuSeconds(server)
      const { rate, requests } = await load(server.url + path, headers, { ...LOAD, rate: RATE })
      cpu.push(((cpuSeconds(server) - before) / requests) * 1e6)
      reached.push(rate)
      highest.push((await load(server.url + path, headers, LOAD)).rate)
    }
  }
  for (const { server } of runs) await end(server.child)
  const bare = runs.find(({ name }) => name === 'bare')
  const rows = runs.map(({ name, cpu, reached, highest }) => [
    name,
    median(reached),
    median(cpu),
    ratioAndSpread(cpu, bare?.cpu ?? []),
    median(highest),
    ratioAndSpread(highest, bare?.highest ?? []),
  ])
  printTable(`${title}: ${RATE.toLocaleString('en')} a second, then as many as it can (${ROUNDS} rounds)`, [
    ['', 'per second', 'CPU us/request', 'to bare', 'highest/s', 'to bare'],
    ...rows,
  ])
}

/** Measures the time from the spawn to the first answer, and the memory at rest after it. */
async function starts(title: string, { starters }: LineUp): Promise<void> {
  const runs = [...starters].map(([name, start]) => ({ name, start, times: Array<number>(), memory: Array<number>() }))
  for (let round = 0; round < ROUNDS; round++) {
    for (const { start, times, memory } of runs) {
      const began = performance.now()
      const server = await start()
      await (await fetch(server.url)).text()
      times.push(performance.now() - began)
      await delay(REST_MS)
      memory.push(residentMiB(server))
      await end(server.child)
    }
  }
  printTable(`${title}: start to first answer, and memory at rest (median of ${ROUNDS})`, [
    ['', 'ms', 'MiB'],
    ...runs.map(({ name, times, memory }) => [name, median(times), median(memory)]),
  ])
}
