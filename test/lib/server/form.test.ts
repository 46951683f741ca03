/** Bodies in three codings. */
import t from 'tap'
import { request } from '../../helper/http.ts'
import { startService } from '../../helper/service.ts'

const BOB = { email: 'bob@me.com', password: 'mySuperPwd' }

t.test('forms, multipart and JSON', async (t) => {
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

  t.match(
    await post('{"email":"f\\u0040b", "password" : "\\"x\\"", "email":"second@b"}', 'application/json'),
    created('second@b'),
    'of a repeated name in JSON the last counts',
  )
  const avatar = new FormData()
  avatar.append('avatar', new Blob(['pixels']), 'ü.png')
  avatar.append('email', 'avatar@b')
  avatar.append('password', 'x')
  t.match(await post(avatar), created('avatar@b'), 'a file that nobody has asked for')

  const file = new FormData()
  file.append('email', new Blob(['f@b']), 'f.txt')
  const json = 'application/json'
  for (const [body, type, message] of [
    ['email=a@b', form, /^password is missing$/],
    ['email=&password=x', form, /^email is missing$/],
    ['', form, /^email is missing$/],
    ['email=%zz&password=x', form, /^malformed body/],
    ['email=%ff&password=x', form, /^malformed body/],
    [new Uint8Array([0x65, 0xff]), form, /^malformed body: it is not valid UTF-8$/],
    ['email=none&password=x', form, /no @/],
    ['{"email":', json, /^malformed body/],
    ['["email"]', json, /expected a JSON object/],
    ['null', json, /expected a JSON object/],
    ['{"email":1,"password":"x"}', json, /email must be a string/],
    ['{"email":"\\ud800@b","password":"x"}', json, /email is not/],
    ['{}', json, /^email is missing$/],
    [file, undefined, /^email is missing$/],
    ['email=a@b&password=x%00x', form, /NUL/],
    ['--x\r\n', 'multipart/form-data; boundary=x', /^malformed body/],
    ['x', 'multipart/form-data', /^malformed body/],
  ] as const) {
    t.match(await post(body, type), { status: 400, body: { message } }, `${body}`)
  }
  t.match(await post('email=a@b', 'text/plain'), { status: 415, body: { message: /form-urlencoded/ } })
  const compressed = await request(`${url}/users`, 'POST', BOB, { 'content-encoding': 'gzip' })
  t.match(compressed, { status: 415, body: { message: /send it uncompressed$/ } })
  t.match(await request(`${url}/users`, 'POST'), { status: 400, body: { message: 'email is missing' } })
})

t.test('JSON is what JSON.parse makes of it, in no time', async (t) => {
  const { url } = await startService(t)
  const post = async (body: string) => {
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(`${url}/users`, { method: 'POST', body, headers })
    return { status: response.status, body: await response.json() }
  }
  const nested = '{"a":{"email":"x@x"},"email":"z@z","password":"p"}'
  t.match(await post(nested), { status: 400, body: { message: /a must be a string$/ } })
  t.match(await post('{"a":{"email":"x@x"},"a":"y","email":"z@z","password":"p"}'), { body: { email: 'z@z' } })
  t.match(await post('{"email":"first@b","email":"last@b","password":"p"}'), { body: { email: 'last@b' } })

  const quotes = `{"a":["${'\\"'.repeat(8000)}"]}`
  const began = performance.now()
  for (let i = 0; i < 20; i++) t.equal((await post(quotes)).status, 400)
  t.ok(performance.now() - began < 1500, 'it would take three seconds, if each took as long as its length squared')
})

t.test('at most 32 fields, in all codings', async (t) => {
  const { url } = await startService(t)
  const names = (count: number) => Array.from({ length: count - 2 }, (_, i) => `field${i}`)
  for (const [count, status] of [
    [32, 200],
    [33, 400],
  ] as const) {
    for (const type of ['urlencoded', 'multipart', 'json']) {
      const fields: [string, string][] = [
        ['email', `${type}@b`],
        ['password', 'p'],
      ]
      for (const name of names(count)) fields.push([name, ''])
      const form = new FormData()
      for (const [name, value] of fields) {
        form.append(name, name.startsWith('field') ? new Blob([value]) : value)
      }
      const body =
        type === 'multipart'
          ? form
          : type === 'json'
            ? JSON.stringify(Object.fromEntries(fields))
            : new URLSearchParams(fields)
      const headers: Record<string, string> = type === 'json' ? { 'content-type': 'application/json' } : {}
      const response = await fetch(`${url}/users`, { method: 'POST', body, headers })
      t.equal(response.status, status, `${count} fields, ${type}`)
      if (status === 400) t.match(await response.json(), { message: /more than 32 fields/ })
    }
  }
})
