/** At start: where the server listens, and what an operator wants to see. */
import { once } from 'node:events'
import type { Server } from 'node:http'
import { MAX_UNREAD_CHARS } from './access-log.ts'
import type { Config } from './config.ts'
import { messageOf, ValueError, withoutPassword } from '../errors.ts'

/** Starts listening. Resolves to lines that say where; throws a `ValueError` that says why the server cannot listen. */
export async function listen(server: Server, { host, port, publicUrl }: Config): Promise<string> {
  try {
    // Without a host node takes `::`, which is for IPv4 too, or 0.0.0.0 where there is no IPv6.
    server.listen(host === null ? { port } : { host, port })
    await once(server, 'listening')
  } catch (error) {
    const at = `${host === null ? '' : `HOST=${host} `}PORT=${port}`
    throw new ValueError(`${at}: ${messageOf(error)}; set HOST or PORT to something else`)
  }
  const address = server.address()
  const boundPort = typeof address === 'object' && address !== null ? address.port : port
  const name = host?.includes(':') ? `[${host}]` : (host ?? 'localhost')
  const browsersName = host === '::' || host === '0.0.0.0' ? 'localhost' : name
  return `Listening on http://${name}:${boundPort}
To log in with a browser: ${publicUrl ?? `http://${browsersName}:${boundPort}`}/login`
}

/** Says how many users there are (`?` for null) and where, who gets reset tokens, and how many users cannot log in. */
export function summary(
  databaseUrl: string,
  { resetWebhook }: Config,
  users: number | null,
  foreignHashes: number | null,
): string {
  const tokens = resetWebhook === null ? 'handed to anyone who asks; set RESET_WEBHOOK' : 'sent to RESET_WEBHOOK'
  const foreign = `\nUsers who must reset their password to log in, as their hash is not bcrypt's: ${foreignHashes}`
  return `Users: ${users ?? '?'} in ${withoutPassword(databaseUrl)}
Reset tokens are ${tokens}${foreignHashes ? foreign : ''}`
}

/** Puts the time before what `console.error` prints, in every module, and drops lines that nobody reads. */
export function stampErrors(): void {
  const print = console.error
  console.error = (...parts) => {
    if (process.stderr.writableLength < MAX_UNREAD_CHARS) print(new Date().toISOString(), ...parts)
  }
}
