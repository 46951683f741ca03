/** GET requests by wrk, which costs so little that the server has the rest of the machine. */
import { execFile, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** A load: how long, on how many connections, and how many requests per second (by default as many as possible). */
type LoadOptions = { seconds: number; connections: number; rate?: number }

/** Requests per second, and how many there were in all. */
type Load = { rate: number; requests: number }

const RATE_SCRIPT = fileURLToPath(new URL('./rate.lua', import.meta.url))

/** Ends the program unless wrk is installed. */
export function needWrk(): void {
  if (spawnSync('wrk', ['-v']).error === undefined) return
  console.error('install wrk first')
  process.exit(1)
}

/**
 * Sends GET requests.
 * @throws {Error} when an answer is not 2xx or 3xx
 */
export async function load(url: string, headers: Record<string, string>, options: LoadOptions): Promise<Load> {
  const heads = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const settings = ['-t', '1', '-c', `${options.connections}`, '-d', `${options.seconds}`, '--timeout', '20s', ...heads]
  const target = options.rate === undefined ? [url] : ['-s', RATE_SCRIPT, url, '--', `${options.rate}`]
  const { stdout } = await promisify(execFile)('wrk', [...settings, ...target])
  const errors = /^ *(?:Non-2xx|Socket errors).*$/m.exec(stdout)
  if (errors !== null) throw new Error(`wrk: ${errors[0]}`)
  const [requests, rate] = [/^ *(\d+) requests in/m, /^Requests\/sec: +([\d.]+)$/m].map(
    (find) => find.exec(stdout)?.[1],
  )
  return { rate: Number(rate), requests: Number(requests) }
}
