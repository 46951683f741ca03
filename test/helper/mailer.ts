/** A receiver of reset tokens. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { listen } from './http.ts'

type Mail = { email: string; reset_token: string; expires_at: number }

/** Starts a receiver that keeps what it gets. It answers with the statuses in turn (0: not at all), then with 200. */
export async function startMailer(t: Test, statuses: number[] = [], port = 0) {
  const received: Mail[] = []
  const headers: IncomingHttpHeaders[] = []
  const server: Server = createServer(async (request, response) => {
    const mail: Mail = JSON.parse(await text(request))
    headers.push(request.headers)
    received.push(mail)
    const status = statuses.shift() ?? 200
    if (status !== 0) response.writeHead(status, { Location: '/' }).end('x'.repeat(20_000))
    server.emit('mail')
  })
  t.teardown(() => server.close().closeAllConnections())
  const url = `http://127.0.0.1:${await listen(server, port)}/mail`
  /** Resolves when this many mails have come. */
  const mails = async (count: number) => {
    while (received.length < count) await once(server, 'mail')
  }
  return { server, received, headers, url, mails }
}
