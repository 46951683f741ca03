/** The load on a server, by wrk where there is one, by autocannon otherwise. */
import { execFile, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** What makes the load. */
export const TOOL = spawnSync('wrk', ['-v']).error === undefined ? 'wrk' : 'autocannon'

/** Requests per second, their 99th percentile in milliseconds, and how many there were. */
export type Load = { rate: number; p99: number; requests: number }

/** Sends GET requests over a number of connections at once; throws unless every answer is 2xx or 3xx. */
export async function load(
  url: string,
  headers: Record<string, string>,
  seconds: number,
  connections = 16,
): Promise<Load> {
  const heads = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const settings = [...heads, '-c', `${connections}`, '-d', `${seconds}`]
  if (TOOL === 'wrk') return readWrk((await run('wrk', ['-t', '1', '--latency', ...settings, url])).stdout)
  const autocannon = fileURLToPath(new URL('./node_modules/autocannon/autocannon.js', import.meta.url))
  return readAutocannon(JSON.parse((await run(process.execPath, [autocannon, '--json', ...settings, url])).stdout))
}

/** The figures in what wrk prints. */
function readWrk(text: string): Load {
  const find = (pattern: RegExp) => pattern.exec(text) ?? []
  const [, p99 = '', unit = ''] = find(/^ *99% +([\d.]+)(us|ms|s)$/m)
  const errors = find(/^ *(?:Non-2xx|Socket errors).*$/m)[0]
  if (errors !== undefined || p99 === '') throw new Error(`wrk: ${errors ?? text}`)
  const milliseconds =
    new Map([
      ['us', 0.001],
      ['s', 1000],
    ]).get(unit) ?? 1
  const rate = Number(find(/^Requests\/sec: +([\d.]+)$/m)[1])
  return { rate, p99: Number(p99) * milliseconds, requests: Number(find(/^ *(\d+) requests in/m)[1]) }
}

/** The figures in autocannon's JSON. */
function readAutocannon(json: unknown): Load {
  const failed = number(json, 'non2xx') + number(json, 'errors')
  if (failed > 0) throw new Error(`autocannon: ${failed} requests failed`)
  const requests = number(json, 'requests', 'total')
  return { rate: requests / number(json, 'duration'), p99: number(json, 'latency', 'p99'), requests }
}

/** The number at a path in a JSON value. */
function number(value: unknown, ...path: string[]): number {
  for (const name of path) {
    const found = Object.entries(typeof value === 'object' && value !== null ? value : {}).find(([key]) => key === name)
    value = found?.[1]
  }
  return Number(value)
}
