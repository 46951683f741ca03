/** A clean stop: work in flight is finished, and nothing new begins. */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Webhook } from './webhook.ts'

/** How long requests in flight may take at a stop, in milliseconds. */
const STOP_TIMEOUT = 10_000

/** The open connections of a server, from now on. */
export function connectionsOf(server: Server): ReadonlySet<Socket> {
  const connections = new Set<Socket>()
  server.on('connection', (socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
  })
  return connections
}

/** Resolves when requests in flight have been answered, and reset tokens sent; what takes too long is cut off. */
export async function drain(server: Server, connections: ReadonlySet<Socket>, webhook: Webhook | null): Promise<void> {
  const cutOff = setTimeout(() => server.closeAllConnections(), STOP_TIMEOUT)
  const closed = new Promise((resolve) => server.close(resolve))
  // A connection on which nothing was ever sent is no work in flight, though node waits for it.
  for (const socket of connections) if (socket.bytesRead === 0) socket.destroy()
  await closed
  await Promise.race([webhook?.settled(), new Promise((resolve) => setTimeout(resolve, STOP_TIMEOUT))])
  clearTimeout(cutOff)
}
