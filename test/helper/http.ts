/** Requests, sent with fetch or as raw bytes. */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'

/** A user, as the fields of a form. */
export const BOB = { email: 'bob@me.com', password: 'right' }

/** An answer; its body is parsed JSON, or null if it is empty. */
export type Answered = { status: number; body: unknown; headers: Headers }

/** Sends a request, with fields as a form; does not follow redirects. */
export async function request(
  url: string,
  method: string,
  fields?: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Answered> {
  const body = fields === undefined ? {} : { body: new URLSearchParams(fields) }
  const response = await fetch(url, { method, redirect: 'manual', headers, ...body })
  const text = await response.text()
  return { status: response.status, body: text === '' ? null : JSON.parse(text), headers: response.headers }
}

/** The session ID in an answer's cookie. */
export function sessionOf(answered: Answered): string {
  return /session_id=([^;]*)/.exec(answered.headers.getSetCookie()[0] ?? '')?.[1] ?? ''
}

/** A GET request as it is sent; `more` are header lines. */
export function get(path: string, more = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: x\r\n${more}\r\n`
}

/** A form as it is sent by POST; `headers` are lines. */
export function post(path: string, fields: Record<string, string>, headers = ['Host: x']): string {
  const body = String(new URLSearchParams(fields))
  const all = [...headers, 'Content-Type: application/x-www-form-urlencoded', `Content-Length: ${body.length}`]
  return [`POST ${path} HTTP/1.1`, ...all, '', body].join('\r\n')
}

/** A request after whose reply the server closes the connection. */
export const LAST = get('/', 'Connection: close\r\n')

/** The statuses of the replies in what a connection received. */
export function statuses(received: string): number[] {
  return [...received.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => Number(status))
}

/** Writes bytes to a port; resolves with all that comes back until the server closes. */
export async function raw(port: number, ...chunks: (string | Uint8Array)[]): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' })
  let received = ''
  socket.on('data', (data) => (received += data))
  socket.on('error', () => {})
  for (const chunk of chunks) socket.write(chunk)
  await once(socket, 'close')
  return received
}

/** Listens on a port of 127.0.0.1, by default a free one; resolves with the port. */
export async function listen(server: Server, port = 0): Promise<number> {
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return portOf(server)
}

/** Starts a server that does one thing with each connection until the end of the test; resolves with its port. */
export async function serve(t: Test, onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}))
    onConnection(socket)
  })
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return listen(server)
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listen(server)
  await once(server.close(), 'close')
  return port
}

/** The port that a server listens on. */
export function portOf(server: Server): number {
  return Number(Object(server.address()).port)
}
