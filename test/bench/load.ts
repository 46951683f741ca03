/** GET requests: by wrk, which costs so little that the server has the rest of the machine, and pipelined. */
import { execFile, spawnSync } from 'node:child_process'
import { connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** What makes the load: for how many seconds, on how many connections, and at which rate if not the highest. */
type LoadOptions = { seconds: number; connections: number; rate?: number }

/** Requests per second, and how many there were. */
export type Load = { rate: number; requests: number }

const RATE_SCRIPT = fileURLToPath(new URL('./rate.lua', import.meta.url))

/** Ends the program unless wrk is there. */
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

/** How many requests a pipelining client sends before it reads. */
const BATCH = 100

/** Sends so many GET requests in batches, on one connection or each batch on one of its own; each answer is as long. */
export async function pipeline(
  url: string,
  headers: Record<string, string>,
  count: number,
  reuse: boolean,
): Promise<void> {
  const { hostname, port, pathname } = new URL(url)
  const lines = Object.entries({ Host: hostname, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  const request = `GET ${pathname} HTTP/1.1\r\n${lines.join('')}\r\n`
  const batch = request.repeat(BATCH)
  let [socket, length] = [connect(Number(port), hostname), 0]
  for (let sent = 0; sent < count; sent += BATCH) {
    if (length === 0) length = await exchange(socket, request, 1)
    await exchange(socket, batch, length * BATCH)
    if (reuse) continue
    socket.destroy()
    socket = connect(Number(port), hostname)
  }
  socket.destroy()
}

/** Writes, and resolves with the number of bytes that came back when there are enough. */
function exchange(socket: Socket, text: string, enough: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let received = 0
    const read = (chunk: Buffer) => {
      received += chunk.length
      if (received >= enough) resolve(received)
      if (received >= enough) socket.off('data', read).off('error', reject)
    }
    socket.on('data', read).once('error', reject).write(text)
  })
}
