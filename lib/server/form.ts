/** Bodies: urlencoded forms, multipart forms and JSON. */
import type { IncomingMessage } from 'node:http'
import { cut } from './head.ts'
import { messageOf } from '../errors.ts'
import { HttpError } from './service.ts'

const MAX_BODY_BYTES = 16 * 1024

/** How many fields a body may have: each costs work, and no request needs more than three. */
const MAX_FIELDS = 32

/** The fields of a body, by name. */
export type Form = ReadonlyMap<string, string>

/** A field that the client has to send. Throws `HttpError` with the route's own status if it is missing or empty. */
export function field(form: Form, name: string, status: number): string {
  const value = form.get(name)
  if (!value) throw new HttpError(status, `${name} is missing`)
  return value
}

/** `field` for an email. It refuses a space, because in a form an unencoded `+` means one. */
export function emailField(form: Form, status: number): string {
  const email = field(form, 'email', status)
  if (!email.includes(' ')) return email
  throw new HttpError(status, 'email contains a space; in a form, write + as %2B (curl: --data-urlencode)')
}

/** Yields the name and value of each field in a body, `null` for a part to ignore; throws if the body is malformed. */
type Parser = (body: Buffer, contentType: string) => Iterable<[string, unknown] | null>

const PARSERS = new Map<string, Parser>([
  ['application/x-www-form-urlencoded', parseUrlencoded],
  ['multipart/form-data', parseMultipart],
  ['application/json', parseJson],
])

const forms = new WeakMap<IncomingMessage, Form>()

/** The form that came with a request; without fields until `readForm` has read it. */
export function formOf(request: IncomingMessage): Form {
  return forms.get(request) ?? new Map()
}

/** Reads a body of any supported type; without a body the form is empty. The first value of a repeated field counts. */
export async function readForm(request: IncomingMessage): Promise<Form> {
  if (!hasBody(request)) return new Map()
  const { 'content-type': contentType = '', 'content-encoding': encoding = 'identity' } = request.headers
  const { 'transfer-encoding': transfer = 'chunked' } = request.headers
  const parse = PARSERS.get(cut(contentType, ';')[0].trim().toLowerCase())
  if (parse === undefined) {
    const sent = contentType === '' ? 'a body without Content-Type' : `Content-Type ${contentType}`
    throw new HttpError(415, `${sent} is not supported; use one of ${[...PARSERS.keys()].join(', ')}`)
  }
  if (encoding.toLowerCase() !== 'identity' || transfer.toLowerCase() !== 'chunked') {
    throw new HttpError(415, 'a compressed body is not supported; send it uncompressed')
  }
  const body = await readBody(request)
  const form = new Map<string, string>()
  let count = 0
  try {
    for (const part of parse(body, contentType)) {
      if (++count > MAX_FIELDS) throw new RangeError(`more than ${MAX_FIELDS} fields`)
      if (part === null) continue
      const [name, value] = part
      if (typeof value !== 'string') throw new TypeError(`${name} must be a string`)
      if (!value.isWellFormed()) throw new TypeError(`${name} is not well-formed Unicode`)
      if (!form.has(name)) form.set(name, value)
    }
  } catch (error) {
    throw new HttpError(400, `malformed body: ${messageOf(error)}`)
  }
  forms.set(request, form)
  return form
}

/** The form that browsers and `curl -d` send. URLSearchParams would accept a stray % and invalid UTF-8. */
function* parseUrlencoded(body: Buffer): Iterable<[string, string]> {
  const text = textOf(body)
  if (/^\s*\{/.test(text)) throw new TypeError('it looks like JSON; send it with Content-Type: application/json')
  for (const pair of text.split('&')) {
    const [name, value] = cut(pair.replaceAll('+', ' '), '=')
    // A line break at the end of a file would become part of the password.
    if (/[\r\n]/.test(pair)) {
      throw new TypeError(`${name} contains a line break; remove it (curl: -d @FILE) or write it as %0A`)
    }
    yield [decode(name, 'the name of a field'), decode(value, name)]
  }
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    const isStray = /%(?![\da-f]{2})/i.test(text)
    const flaw = isStray ? 'contains a stray %; write it as %25 (curl: --data-urlencode)' : 'is not valid UTF-8'
    throw new TypeError(`${what} ${flaw}`)
  }
}

/** A line break: CRLF, or LF or CR alone, as people write by hand. */
const LINE_BREAK = '(?:\\r\\n|\\n|\\r(?!\\n))'
const BLANK_LINE = new RegExp(`${LINE_BREAK}{2}`)

/**
 * The form that `curl -F` sends (RFC 7578; RFC 2046, section 5.1.1), read as leniently as Flask does: line breaks of
 * any kind, text before the first and after the last boundary. Files are left out, as are parts without a name.
 */
function* parseMultipart(body: Buffer, contentType: string): Iterable<[string, string] | null> {
  const boundary = parametersOf(contentType).get('boundary')
  if (!boundary) throw new TypeError('Content-Type has no boundary')
  // One character for each byte, because files need not be UTF-8.
  const text = body.toString('latin1')
  const delimiter = `(?:^|${LINE_BREAK})--${boundary.replace(/\W/g, '\\$&')}(?:(--)|[ \\t]*(?=[\\r\\n]))`
  let start: number | undefined
  for (const { 0: found, 1: last, index } of text.matchAll(new RegExp(delimiter, 'g'))) {
    if (start !== undefined) yield fieldOf(text.slice(start, index))
    if (last !== undefined) return
    start = index + found.length
  }
  throw new TypeError('it is cut off: the last boundary is missing')
}

function fieldOf(part: string): [string, string] | null {
  const blank = BLANK_LINE.exec(part)
  const value = blank === null ? '' : part.slice(blank.index + blank[0].length)
  // Invalid UTF-8 is not an error here, as the name of a file may be in any encoding.
  const head = Buffer.from(part.slice(0, blank?.index), 'latin1').toString()
  const lines = head.replace(/[\r\n]{1,2}[ \t]+/g, ' ').split(/[\r\n]+/)
  const headers = new Map(
    lines.map((line) => cut(line, ':')).map(([name, value]) => [name.trim().toLowerCase(), value]),
  )
  const disposition = parametersOf(headers.get('content-disposition') ?? '')
  const name = disposition.get('name')
  if (name === undefined || disposition.has('filename') || disposition.has('filename*')) return null
  const charset = parametersOf(headers.get('content-type') ?? '').get('charset')
  return [name, textOf(Buffer.from(value, 'latin1'), charset)]
}

const PARAMETER = /;\s*([^=;\s]+)\s*=\s*(?:"((?:[^"\\]|\\[^])*)"|([^;]*))/g

/** The parameters of a header (RFC 9110, section 5.6.6), with their names in lower case. */
function parametersOf(header: string): Map<string, string> {
  const parameters = new Map<string, string>()
  for (const [, name = '', quoted, bare = ''] of header.matchAll(PARAMETER)) {
    parameters.set(name.toLowerCase(), quoted?.replace(/\\([^])/g, '$1') ?? bare.trim())
  }
  return parameters
}

/** A JSON object. Of a repeated name the last value counts, as `JSON.parse` has it. */
function parseJson(body: Buffer): [string, unknown][] {
  const value: unknown = JSON.parse(textOf(body))
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('expected a JSON object')
  return Object.entries(value)
}

/** Bytes as text, without a byte order mark at the start. */
function textOf(bytes: Uint8Array, charset = 'utf-8'): string {
  try {
    return new TextDecoder(charset, { fatal: true }).decode(bytes)
  } catch {
    throw new TypeError(`it is not valid ${charset.toUpperCase()}`)
  }
}

/** True if a body comes with the request (RFC 9112, section 6.3). */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

/** True if the request declares a body that is too large. */
export function declaresTooLarge({ headers }: IncomingMessage): boolean {
  return Number(headers['content-length'] ?? 0) > MAX_BODY_BYTES
}

/** The body's bytes. Rejects as soon as there are too many; the rest is dropped until the request times out. */
function readBody(request: IncomingMessage): Promise<Buffer> {
  const tooLarge = new HttpError(413, `the body is larger than ${MAX_BODY_BYTES} bytes`)
  if (declaresTooLarge(request)) return Promise.reject(tooLarge)
  return new Promise((resolve, reject) => {
    // One buffer, not a list of chunks: a chunk of one byte takes 300 bytes of memory.
    const body = Buffer.alloc(Number(request.headers['content-length'] ?? MAX_BODY_BYTES))
    let size = 0
    request.on('data', (chunk: Buffer) => {
      if (size + chunk.length > MAX_BODY_BYTES) reject(tooLarge)
      else size += chunk.copy(body, size)
    })
    request.on('end', () => resolve(body.subarray(0, size)))
    request.on('error', reject)
  })
}
