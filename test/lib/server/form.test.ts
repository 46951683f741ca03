/** Bodies in three formats. */
import t from 'tap'
import { BOB, request } from '../../helper/http.ts'
import { startService } from '../../helper/service.ts'

t.test('forms, multipart forms and JSON are read, and malformed bodies refused', async (t) => {
  const { url } = await startService(t)
  const post = async (body: string | FormData | Uint8Array<ArrayBuffer>, type?: string) => {
    const headers = type === undefined ? {} : { 'content-type': type }
    const response = await fetch(`${url}/users`, { method: 'POST', body, headers })
    return { status: response.status, body: await response.json() }
  }
  const form = 'application/x-www-form-urlencoded'
  const created = (email: string) => ({ status: 200, body: { email, message: 'user created' } })
  t.match(await post('email=a%2B1%40b&password=x+y&password=z&email=', form), created('a+1@b'))
  t.match(await post('email=é@b&password=x&__proto__=1', `${form}; charset=utf-8`), created('é@b'))
  t.match(await post(JSON.stringify({ email: 'j@b', password: 'x' }), 'Application/JSON'), created('j@b'))
  const multipart = new FormData()
  multipart.append('email', 'm@b')
  multipart.append('email', 'second@b')
  multipart.append('password', 'ü')
  t.match(await post(multipart), created('m@b'))
  const login = { email: 'a+1@b', password: 'x y' }
  t.match(await request(`${url}/sessions`, 'POST', login), { status: 200 }, 'the first value counts, + is a space')

  // JSON is what JSON.parse makes of it.
  for (const [body, email] of [
    ['{"email":"f\\u0040b", "password" : "\\"x\\"", "email":"second@b"}', 'second@b'],
    ['{"a":{"email":"x@x"},"a":"y","email":"z@z","password":"p"}', 'z@z'],
    ['\ufeff{"email":"last@b","password":"p"}', 'last@b'],
  ] as const) {
    t.match(await post(body, 'application/json'), created(email), 'of a repeated name the last counts')
  }
  const avatar = new FormData()
  avatar.append('avatar', new Blob(['pixels']), 'ü.png')
  avatar.append('email', 'avatar@b')
  avatar.append('password', 'x')
  t.match(await post(avatar), created('avatar@b'), 'a file that is not expected is ignored')

  const file = new FormData()
  file.append('email', new Blob(['f@b']), 'f.txt')
  const json = 'application/json'
  for (const [body, type, message] of [
    [new Uint8Array([0x65, 0xff]), form, /^malformed body: it is not valid UTF-8$/],
    ['{"email":', json, /^malformed body/],
    ['null', json, /expected a JSON object/],
    ['{"a":{"email":"x@x"},"email":"y@y","password":"p"}', json, /a must be a string$/],
    ['{"email":"\\ud800@b","password":"x"}', json, /email is not/],
    ['{}', json, /^email is missing$/],
    [file, undefined, /^email is missing$/],
  ] as const) {
    t.match(await post(body, type), { status: 400, body: { message } }, `${body}`)
  }
  const compressed = await request(`${url}/users`, 'POST', BOB, { 'content-encoding': 'gzip' })
  t.match(compressed, { status: 415, body: { message: /send it uncompressed$/ } })
  t.match(await request(`${url}/users`, 'POST'), { status: 400, body: { message: 'email is missing' } })
})

t.test('multipart forms are read as Flask reads them', async (t) => {
  const { url } = await startService(t)
  await request(`${url}/users`, 'POST', BOB)
  /** The answer to a login with a body of these lines, whose characters are bytes (Latin-1). */
  const logIn = async (lines: string[], type = 'multipart/form-data; boundary=x', lineBreak = '\r\n') => {
    const body = Buffer.from(lines.join(lineBreak), 'latin1')
    const response = await fetch(`${url}/sessions`, { method: 'POST', body, headers: { 'content-type': type } })
    return { status: response.status, body: await response.json() }
  }
  const part = (disposition: string, value: string, ...more: string[]) => [
    '--x',
    `Content-Disposition: ${disposition}`,
    ...more,
    '',
    value,
  ]
  const email = part('form-data; name="email"', BOB.email)
  const password = part('form-data; name="password"', BOB.password)
  const bob = [...email, ...password]
  const end = ['--x--', '']
  const file = (names: string) => part(`form-data; ${names}`, '\x89PNG\xff\0\r\n--y', 'Content-Type: image/png')
  // What Flask 2.2 and 3.1 read; a client is named where this is its habit.
  for (const [habit, body, type, lineBreak] of [
    ['curl', [...bob, ...end]],
    ['LF alone', [...bob, ...end], undefined, '\n'],
    ['CR alone', [...bob, ...end], undefined, '\r'],
    ['text around the parts', ['A form:', ...bob, ...end, 'Bye.', '--x', ...end]],
    ['an empty line before, none behind', ['', ...bob, '--x--']],
    ['spaces behind a boundary', [...bob, ...end].map((line) => (line.startsWith('--') ? `${line} \t` : line))],
    ['.NET: a quoted boundary', [...bob, ...end], 'multipart/form-data; boundary="x"'],
    ['another parameter first', [...bob, ...end], 'Multipart/Form-Data; charset="a;b";BOUNDARY=x'],
    ['symbols', [...bob, ...end].map((line) => line.replace('--x', '--[.*$')), 'multipart/form-data; boundary=[.*$'],
    ['ktor, .NET: names without quotes', [...bob, ...end].map((line) => line.replaceAll('"', ''))],
    ['no space after ;', [...bob, ...end].map((line) => line.replace('; ', ';'))],
    ['no space behind a colon, one before', [...bob, ...end].map((line) => line.replace(': ', ' :'))],
    ['capitals', [...bob, ...end].map((line) => line.replace(/^Content.*;/, 'CONTENT-DISPOSITION: FORM-DATA;'))],
    ['further parameters', [...part('form-data; a="b;\\"c"; name="email"; d', BOB.email), ...password, ...end]],
    ['a folded header', [...bob, ...end].map((line) => line.replace('; ', ';\r\n\t'))],
    ['another header first', [...part('x', '', '').slice(0, 1), 'Content-Type: text/plain', ...bob.slice(1), ...end]],
    ['okhttp: lengths', [...part('form-data; name="email"', BOB.email, 'Content-Length: 10'), ...password, ...end]],
    ['\\" in a name', [...part('form-data; name="a\\"; name=\\"email"', 'no'), ...bob, ...end]],
    ['a file', [...file('name="email"; filename="f.png"'), ...bob, ...end]],
    ['a file by filename*', [...file("name=email; filename*=UTF-8''f.png"), ...bob, ...end]],
    ['a file whose name is Latin-1', [...file('name=email; filename="\xfc.png"'), ...bob, ...end]],
    ['no file chosen in a browser', [...part('form-data; name="email"; filename=""', ''), ...bob, ...end]],
    ['a part without a name', [...part('form-data', 'x'), '--x', '', 'x', ...bob, ...end]],
    ['a repeated name: the first', [...bob, ...part('form-data; name="email"', 'other@me.com'), ...end]],
    ['a part without a value', ['--x', 'Content-Disposition: form-data; name="x"', '', ...bob, ...end]],
  ] as [string, string[], string?, string?][]) {
    t.match(await logIn(body, type, lineBreak), { status: 200 }, habit)
  }
  const odd = { email: 'odd@me.com', password: '\r\n\r\n--xy\u00e9--x\n' }
  await request(`${url}/users`, 'POST', odd)
  const utf8 = Buffer.from(odd.password).toString('latin1')
  const oddEmail = part('form-data; name="email"', odd.email)
  const name = 'form-data; name="password"'
  t.match(await logIn([...oddEmail, ...part(name, utf8), ...end]), { status: 200 }, 'line breaks, almost a boundary')
  const latin1 = part(name, odd.password, 'Content-Type: text/plain; charset=ISO-8859-1')
  t.match(await logIn([...oddEmail, ...latin1, ...end]), { status: 200 }, 'Apache HttpClient: Latin-1')

  for (const [body, message] of [
    [bob, /cut off/],
    [[...bob, '--x-'], /cut off/],
    [[...bob, '--y--', ''], /cut off/],
    [['no boundary'], /cut off/],
    [[...oddEmail, ...part(name, odd.password), ...end], /not valid UTF-8$/],
    [[...oddEmail, ...part(name, odd.password, 'Content-Type: text/plain; charset=x'), ...end], /not valid X$/],
  ] as const) {
    t.match(await logIn([...body, '']), { status: 400, body: { message } }, `${message}`)
  }
  for (const type of ['multipart/form-data', 'multipart/form-data; boundary=']) {
    t.match(await logIn([...bob, ...end], type), { status: 400, body: { message: /has no boundary$/ } })
  }
})

t.test('a body may have at most 32 fields, in every format', async (t) => {
  const { url } = await startService(t)
  const names = (count: number) => Array.from({ length: count - 2 }, (_, i) => `field${i}`)
  for (const [count, status] of [
    [32, 200],
    [33, 400],
  ] as const) {
    for (const type of ['urlencoded', 'multipart', 'json']) {
      const fields = {
        email: `${type}@b`,
        password: 'p',
        ...Object.fromEntries(names(count).map((name) => [name, ''])),
      }
      const form = new FormData()
      for (const [name, value] of Object.entries(fields)) form.append(name, value || new Blob([value]))
      const encoded = type === 'json' ? JSON.stringify(fields) : new URLSearchParams(fields)
      const body = type === 'multipart' ? form : encoded
      const headers: Record<string, string> = type === 'json' ? { 'content-type': 'application/json' } : {}
      const response = await fetch(`${url}/users`, { method: 'POST', body, headers })
      t.equal(response.status, status, `${count} fields, ${type}`)
      if (status === 400) t.match(await response.json(), { message: /more than 32 fields/ })
    }
  }
})
