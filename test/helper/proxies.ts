/** The real nginx and Caddy with the configurations of test/proxies/; only what depends on the machine is changed. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http'
import * as http2 from 'node:http2'
import { request } from 'node:https'
import type { Duplex } from 'node:stream'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { freePort, listen } from './http.ts'
import { ROOT, tempDir } from './program.ts'

/** The ports behind the proxy. */
export type Upstreams = { auth: number; wiki: number; notes: number }
/** The ports of the proxy. */
export type Proxy = { http: number; https: number }
/** A way to start a proxy; `missing` says what is not installed, or is `false`. */
export type ProxyKind = {
  name: string
  missing: string | false
  /** `cookieName` is the service's COOKIE_NAME. */
  start(t: Test, upstreams: Upstreams, cookieName?: string): Promise<Proxy>
}

/** True if a program can be run. */
function isThere(program: string, version: string): boolean {
  return !spawnSync(program, [version]).error
}

export const NGINX = ['nginx', '/usr/sbin/nginx'].find((program) => isThere(program, '-v')) ?? ''

export const nginx: ProxyKind = {
  name: 'nginx',
  missing:
    NGINX && isThere('openssl', 'version') ? false : 'no nginx or no openssl: apt-get install nginx-light openssl',
  async start(t, upstreams, cookieName = 'session_id') {
    const at = tempDir(t)
    const proxy = await freePorts()
    const certificate = ['-keyout', `${at}/key`, '-out', `${at}/certificate`, '-subj', '/CN=example.com', '-days', '1']
    const names = ['-addext', 'subjectAltName=DNS:*.example.com']
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    execFileSync('openssl', ['req', '-x509', ...curve, ...certificate, ...names], { stdio: 'pipe' })
    configure(t, 'nginx.conf', `${at}/nginx.conf`, [
      ['user www-data;', `user ${userInfo().username};`],
      ['/run/nginx.pid', `${at}/pid`],
      ['/var/log/nginx/error.log', 'stderr notice'],
      ['/var/log/nginx/access.log', `${at}/access.log`],
      ['/etc/ssl/certs/example.com.pem', `${at}/certificate`],
      ['/etc/ssl/private/example.com.key', `${at}/key`],
      ['default session_id;', `default ${cookieName};`],
      ['listen 80 ', `listen 127.0.0.1:${proxy.http} `],
      ['listen 443 ssl;', `listen 127.0.0.1:${proxy.https} ssl;`],
      ['listen 443 ssl default_server;', `listen 127.0.0.1:${proxy.https} ssl default_server;`],
      ['server 127.0.0.1:5000;', `server 127.0.0.1:${upstreams.auth};`],
      ['com 127.0.0.1:8081;', `com 127.0.0.1:${upstreams.wiki};`],
      ['com 127.0.0.1:8082;', `com 127.0.0.1:${upstreams.notes};`],
      ['\nhttp {', `\nhttp { ${temporaryPaths(at)}`],
    ])
    await startNginx(t, at)
    return proxy
  },
}

export const caddy: ProxyKind = {
  name: 'Caddy',
  missing: isThere('caddy', 'version') ? false : 'no caddy: apt-get install caddy',
  async start(t, upstreams, cookieName = 'session_id') {
    const at = tempDir(t)
    const proxy = await freePorts()
    const ours = ['local_certs', 'skip_install_trust', 'admin off', 'default_bind 127.0.0.1', `http_port ${proxy.http}`]
    configure(t, 'Caddyfile', `${at}/Caddyfile`, [
      ['email admin@example.com', [...ours, `https_port ${proxy.https}`].join('\n')],
      ['reverse_proxy 127.0.0.1:5000', `reverse_proxy 127.0.0.1:${upstreams.auth}`],
      ['forward_auth 127.0.0.1:5000', `forward_auth 127.0.0.1:${upstreams.auth}`],
      ['reverse_proxy 127.0.0.1:8081', `reverse_proxy 127.0.0.1:${upstreams.wiki}`],
      ['reverse_proxy 127.0.0.1:8082', `reverse_proxy 127.0.0.1:${upstreams.notes}`],
    ])
    const env = { ...process.env, COOKIE_NAME: cookieName, HOME: at, XDG_DATA_HOME: at, XDG_CONFIG_HOME: at }
    const args = ['run', '--config', `${at}/Caddyfile`, '--adapter', 'caddyfile']
    const child = spawn('caddy', args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
    await started(t, child, /serving initial configuration/)
    // Caddy prints that before it has the certificates of its names.
    const ask = clientOf(proxy)
    const isServed = (name: string) => ask('GET', `https://${name}.example.com/`).then(Boolean, () => false)
    for (const name of ['auth', 'wiki', 'notes']) while (!(await isServed(name)));
    return proxy
  },
}

/** The lines by which nginx keeps its temporary files in a directory. */
export const temporaryPaths = (at: string) =>
  ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${at}/${name};`).join(' ')

/** Starts nginx with the nginx.conf in a directory, whose error log is stderr; it is stopped at the end of the test. */
export async function startNginx(t: Test, at: string): Promise<void> {
  const args = ['-p', at, '-c', `${at}/nginx.conf`, '-g', 'daemon off;']
  await started(t, spawn(NGINX, args, { stdio: ['ignore', 'ignore', 'pipe'] }), /start worker processes/)
}

/** Copies a configuration with changes; each text that is replaced must be in it exactly once. */
function configure(t: Test, name: string, path: string, changes: [string, string][]): void {
  let configuration = readFileSync(join(ROOT, 'test/proxies', name), 'utf8')
  for (const [shipped, changed] of changes) {
    if (configuration.split(shipped).length !== 2) t.fail(`${name} does not have ${shipped} once`)
    configuration = configuration.replace(shipped, changed)
  }
  writeFileSync(path, configuration)
}

/** Waits until a process says on stderr that it runs; it is stopped at the end of the test. */
export async function started(t: Test, child: ChildProcess, sign: RegExp): Promise<void> {
  const closed = once(child, 'close')
  t.teardown(() => {
    child.kill('SIGTERM')
    return closed
  })
  let log = ''
  await new Promise<void>((resolve, reject) => {
    child.stderr?.on('data', (data) => {
      log += data
      if (sign.test(log)) resolve()
    })
    child.once('close', () => reject(new Error(`${child.spawnfile} ended: ${log}`)))
  })
}

/** Two ports that are free. */
async function freePorts(): Promise<Proxy> {
  const [http, https] = await Promise.all([freePort(), freePort()])
  return { http, https }
}

/**
 * Starts an app that answers with the request it got, also over HTTP/2 if asked to switch to it (h2c; RFC 7540, section
 * 3.2), and echoes what it gets over a WebSocket. Returns its port.
 */
export async function startApp(t: Test): Promise<number> {
  const app = createServer(async (request, response) => {
    const { method, url, httpVersion, headers } = request
    response.end(JSON.stringify({ method, url, httpVersion, headers, body: await text(request) }))
  })
  const overHttp2 = http2.createServer((request, response) => response.end(JSON.stringify(request.headers)))
  app.on('upgrade', ({ headers }, socket) => {
    const isHttp2 = /h2c/i.test(headers.upgrade ?? '')
    const protocol = isHttp2 ? 'h2c' : 'websocket'
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`)
    socket.on('error', () => socket.destroy())
    if (isHttp2) overHttp2.emit('connection', socket)
    else socket.pipe(socket)
  })
  t.teardown(() => app.close().closeAllConnections())
  return listen(app)
}

/** An answer of a proxy; a body that is JSON is parsed, and `socket` is there after a 101. */
export type Answered = { status: number | undefined; headers: IncomingHttpHeaders; body: unknown; socket?: Duplex }

/** A client at one of this machine's addresses: it sends fields as a form over TLS, on a new connection each time. */
export function clientOf({ https: port }: Proxy, localAddress = '127.0.0.1') {
  return async (
    method: string,
    address: string,
    fields?: Record<string, string>,
    headers: OutgoingHttpHeaders = {},
    target?: string,
  ): Promise<Answered> => {
    const { hostname, pathname, search } = new URL(address)
    const form = fields && { 'content-type': 'application/x-www-form-urlencoded' }
    const to = { host: '127.0.0.1', port, servername: hostname, localAddress, agent: false, rejectUnauthorized: false }
    const path = target ?? `${pathname}${search}`
    return new Promise((resolve, reject) => {
      const all = { host: hostname, ...form, ...headers }
      const sent = request({ ...to, method, path, headers: all }, async (response) => {
        const body = await text(response)
        const parsed: unknown = body.startsWith('{') ? JSON.parse(body) : body
        resolve({ status: response.statusCode, headers: response.headers, body: parsed })
      })
      sent.on('upgrade', ({ statusCode: status, headers }, socket) => resolve({ status, headers, body: '', socket }))
      sent.on('error', reject)
      sent.end(fields && String(new URLSearchParams(fields)))
    })
  }
}

/** Asks over HTTP/2 on a connection that has switched to it; resolves with the answer, empty if there is none. */
export async function askOverHttp2(socket: Duplex, headers: OutgoingHttpHeaders): Promise<string> {
  const session = http2.connect('http://localhost', { createConnection: () => socket })
  session.on('error', () => {})
  const answer = await text(session.request(headers)).catch(() => '')
  session.destroy()
  return answer
}
