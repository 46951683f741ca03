/** A clean stop: requests in flight are answered, and no new ones are taken. */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Webhook } from './webhook.ts'

/** Requests in flight, and reset mails that are being sent, may take this long. */
const STOP_TIMEOUT_MS = 10_000
/**
 * Connections stay open this long for requests that are on their way. Whatever arrives later is not carried out, so
 * that the client can send it again elsewhere.
 */
const GRACE_MS = 300

/** The open connections of a server, from now on. */
export function connectionsOf(server: Server): ReadonlySet<Socket> {
  const connections = new Set<Socket>()
  server.on('connection', (socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
  })
  return connections
}

/**
 * Resolves when requests in flight have been answered, and reset tokens sent; what takes too long is cut off. Before it
 * is called, the server must have begun to say `Connection: close` in its replies.
 */
export async function drain(
  server: Server,
  connections: ReadonlySet<Socket>,
  webhook: Webhook | null,
  timeoutMs = STOP_TIMEOUT_MS,
): Promise<void> {
  const timeUp = delay(timeoutMs).then(() => server.closeAllConnections())
  if (connections.size > 0) await delay(GRACE_MS)
  const closed = new Promise((resolve) => server.close(resolve))
  // A connection on which nothing was ever sent has no request in flight, though node waits for it.
  for (const socket of connections) if (socket.bytesRead === 0) socket.destroy()
  await closed
  await Promise.race([webhook?.settled(), timeUp])
  webhook?.reportUnsent()
}
