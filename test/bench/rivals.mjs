/**
 * The servers that the service is compared with: `rivals.mjs bare|fastify|fastifyWithLogger|express SETTINGS`. SETTINGS
 * is JSON with `answers`, the headers and body of each path, and the `email` and `session` of a GET /profile.
 */
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'

const [, , name, settings] = process.argv
const { answers, email, session } = JSON.parse(settings)
const sessions = new Map(Array.from({ length: 10_000 }, (_, i) => [randomUUID(), `user${i}@example.com`]))
sessions.set(session, email)

const starts = { bare, fastify, fastifyWithLogger, express }
console.log(`listening on http://127.0.0.1:${await starts[name]()}`)

/** node:http with the service's bytes. It is the limit, so nothing may slow it down during a run. */
function bare() {
  const server = createServer((request, response) => {
    const { headers, body } = answers[request.url]
    response.writeHead(200, headers)
    response.end(body)
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))
}

/** fastify with its logger, which writes a line for each request and each answer. */
function fastifyWithLogger() {
  return fastify({ logger: true })
}

/** fastify with its cookie plugin. */
async function fastify(options) {
  const { default: create } = await import('fastify')
  const { default: cookies } = await import('@fastify/cookie')
  const app = create(options)
  app.register(cookies)
  app.get('/', async () => ({ message: 'Bienvenue' }))
  app.get('/profile', async (request, reply) => {
    const email = sessions.get(request.cookies.session_id)
    return email === undefined ? reply.code(403).send({ message: 'no such session' }) : { email }
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  return app.server.address().port
}

/** express with its cookie parser. */
async function express() {
  const { default: create } = await import('express')
  const { default: cookieParser } = await import('cookie-parser')
  const app = create()
  app.use(cookieParser())
  app.get('/', (_request, response) => response.json({ message: 'Bienvenue' }))
  app.get('/profile', (request, response) => {
    const email = sessions.get(request.cookies.session_id)
    if (email === undefined) response.status(403).json({ message: 'no such session' })
    else response.json({ email })
  })
  return new Promise((resolve) => {
    const server = app.listen(0, '127.0.0.1', () => resolve(server.address().port))
  })
}
