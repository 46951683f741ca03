/**
 * Requests of real clients that differ in more than their names: recorded from curl 7.88, requests 2.28 and aiohttp 3.8,
 * and for PowerShell taken from its source code.
 */
import t from 'tap'
import { LAST, raw } from './helper/http.ts'
import { startService } from './helper/service.ts'

const FORM = 'Content-Type: application/x-www-form-urlencoded'
const JSON_TYPE = 'Content-Type: application/json'
const ENCODED = 'email=bob%40me.com&password=pw'
/** As Python's json.dumps() writes it. */
const SPACED = '{"email": "bob@me.com", "password": "pw"}'

/** What a client sends: headers with every request, a form and JSON with their types, and its multipart boundary. */
type Client = {
  headers: string[]
  form: [type: string, body: string]
  json: [type: string, body: string]
  boundary?: string
  /** The header lines of a part; by default a plain Content-Disposition. */
  part?(name: string): string[]
  /** Whether its DELETE has Content-Length: 0. */
  saysEmpty?: boolean
}

const CLIENTS: Record<string, Client> = {
  curl: {
    headers: ['User-Agent: curl/7.88.1', 'Accept: */*'],
    form: [FORM, 'email=bob@me.com&password=pw'],
    json: [JSON_TYPE, '{"email":"bob@me.com","password":"pw"}'],
    boundary: '------------------------22c901af253d756c',
  },
  requests: {
    headers: [
      'User-Agent: python-requests/2.28.1',
      'Accept-Encoding: gzip, deflate',
      'Accept: */*',
      'Connection: keep-alive',
    ],
    form: [FORM, ENCODED],
    json: [JSON_TYPE, SPACED],
    boundary: 'ccb6dbc24701804d135b9fd0aef4a17b',
    saysEmpty: true,
  },
  aiohttp: {
    headers: ['Accept: */*', 'Accept-Encoding: gzip, deflate', 'User-Agent: Python/3.11 aiohttp/3.8.4'],
    form: [FORM, ENCODED],
    json: [JSON_TYPE, SPACED],
    boundary: 'ed6cc7dffa02481fa60fb5aafffd25d7',
    part: (name) => ['Content-Type: text/plain; charset=utf-8', `Content-Disposition: form-data; name="${name}"`],
    saysEmpty: true,
  },
  'PowerShell 7': {
    headers: ['User-Agent: Mozilla/5.0 (Windows NT 10.0; Microsoft Windows 10.0.22631; en-US) PowerShell/7.4.1'],
    form: [FORM, ENCODED],
    json: [`${JSON_TYPE}; charset=utf-8`, '{\r\n  "email": "bob@me.com",\r\n  "password": "pw"\r\n}'],
    boundary: '"5b9d8a6e-9a3f-4c50-8f0f-1a2b3c4d5e6f"',
    part: (name) => ['Content-Type: text/plain; charset=utf-8', `Content-Disposition: form-data; name=${name}`],
  },
  'PowerShell 5.1': {
    headers: [
      'User-Agent: Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.1682',
      'Expect: 100-continue',
      'Connection: Keep-Alive',
    ],
    form: [FORM, ENCODED],
    json: [JSON_TYPE, '{\r\n    "email":  "bob@me.com",\r\n    "password":  "pw"\r\n}'],
  },
}

/** Sends a request with Host and the body's length, then `LAST`; resolves with the reply, without 100 Continue. */
async function send(port: number, request: string, headers: readonly string[], body?: string): Promise<string> {
  const length = body === undefined ? [] : [`Content-Length: ${body.length}`]
  const head = [`${request} HTTP/1.1`, `Host: 127.0.0.1:${port}`, ...headers, ...length, '', ''].join('\r\n')
  const received = await raw(port, head, (body ?? '') + LAST)
  return received
    .replace(/^HTTP\/1.1 100 Continue\r\n\r\n/, '')
    .replace(/(?<=\n)HTTP\/1\.1 200 OK\r\n[^]*Bienvenue.*\n$/, '')
}

for (const [name, { headers, form, json, boundary, part, saysEmpty }] of Object.entries(CLIENTS)) {
  t.test(`the forms, JSON and cookies of ${name} are understood`, async (t) => {
    const { port } = await startService(t)
    const post = (path: string, [type, body]: [string, string]) => send(port, `POST ${path}`, [...headers, type], body)
    const created = await post('/users', form)
    t.match(created, /^HTTP\/1.1 200 OK\r\n[^]*\r\n\r\n{"email":"bob@me.com","message":"user created"}\n$/)
    t.match(await post('/users', form), /^HTTP\/1.1 400 BAD REQUEST\r\n[^]*{"message":"email already registered"}\n$/)
    t.match(await post('/sessions', form), /^HTTP\/1.1 200 OK\r\n/)
    if (boundary !== undefined) {
      const parts = Object.entries({ email: 'bob@me.com', password: 'pw' }).map(([field, value]) => {
        const lines = part?.(field) ?? [`Content-Disposition: form-data; name="${field}"`]
        return ['', ...lines, '', value, ''].join('\r\n')
      })
      const delimiter = `--${boundary.replaceAll('"', '')}`
      const body = ['', ...parts, '--\r\n'].join(delimiter)
      const type = `Content-Type: multipart/form-data; boundary=${boundary}`
      t.match(await post('/sessions', [type, body]), /^HTTP\/1.1 200 OK\r\n/)
    }
    const loggedIn = await post('/sessions', json)
    t.match(loggedIn, /^HTTP\/1.1 200 OK\r\n[^]*{"email":"bob@me.com","message":"logged in"}\n$/)
    const cookie = `Cookie: session_id=${/\r\nSet-Cookie: session_id=([^;]+);/.exec(loggedIn)?.[1]}`
    const profile = await send(port, 'GET /profile', [...headers, cookie])
    t.match(profile, /^HTTP\/1.1 200 OK\r\n[^]*{"email":"bob@me.com"}\n$/)
    const empty = saysEmpty === true ? '' : undefined
    const loggedOut = await send(port, 'DELETE /sessions', [...headers, cookie], empty)
    t.match(loggedOut, /^HTTP\/1.1 302 FOUND\r\n[^]*\r\nLocation: \/\r\n/)
    t.match(await send(port, 'GET /profile', [...headers, cookie]), /^HTTP\/1.1 403 FORBIDDEN\r\n/)
  })
}

t.test('client habits that do not work with Flask do not work here either', async (t) => {
  const { port } = await startService(t)
  await send(port, 'POST /users', [FORM], ENCODED)
  for (const [habit, request, headers, body, reply] of [
    ['requests.post(params=…)', `POST /sessions?${ENCODED}`, [], '', /^HTTP\/1.1 401 .*"email is missing"/s],
    ['requests.get(data=…)', 'GET /', [FORM], 'email=x', /^HTTP\/1.1 200 .*Bienvenue/s],
    ['DELETE sent again after the 302, by wget and aiohttp', 'DELETE /', [], undefined, /^HTTP\/1.1 405 /],
  ] as const) {
    t.match(await send(port, request, headers, body), reply, habit)
  }
})
