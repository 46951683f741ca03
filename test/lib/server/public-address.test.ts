/** PUBLIC_URL, COOKIE_DOMAIN and REGISTRATION, as they are checked at start. */
import t from 'tap'
import { readConfig } from '../../../server.ts'

const HTTPS = { PUBLIC_URL: 'https://auth.example.com', COOKIE_SECURE: '1' }

t.test('what is taken', async (t) => {
  for (const [env, expected] of [
    [{}, { publicUrl: null, cookieDomain: null, registration: 'open' }],
    [{ PUBLIC_URL: 'http://LOCALHOST:5000/' }, { publicUrl: 'http://localhost:5000', cookieDomain: null }],
    [{ PUBLIC_URL: 'http://auth.lan' }, { publicUrl: 'http://auth.lan' }],
    [HTTPS, { publicUrl: 'https://auth.example.com', cookieDomain: null }],
    [{ ...HTTPS, COOKIE_DOMAIN: 'Example.com' }, { cookieDomain: 'example.com' }],
    [{ ...HTTPS, COOKIE_DOMAIN: 'auth.example.com' }, { cookieDomain: 'auth.example.com' }],
    [{ REGISTRATION: 'local' }, { registration: 'local' }],
  ] as const) {
    t.match(readConfig(env), expected)
  }
})

t.test('what is not, with one line that says why', async (t) => {
  const domain = (COOKIE_DOMAIN: string) => ({ ...HTTPS, COOKIE_DOMAIN })
  for (const [env, message] of [
    [{ PUBLIC_URL: '' }, /^PUBLIC_URL is empty/],
    [{ PUBLIC_URL: 'auth.example.com' }, /^PUBLIC_URL=auth\.example\.com: expected https:\/\/HOST/],
    [{ PUBLIC_URL: 'ftp://auth.example.com' }, /expected https/],
    [{ PUBLIC_URL: 'http://auth.example.com/login' }, /expected https/],
    [{ PUBLIC_URL: 'http://auth.example.com/?a' }, /expected https/],
    [{ PUBLIC_URL: 'http://bob@auth.example.com' }, /expected https/],
    [
      { PUBLIC_URL: 'https://auth.example.com' },
      /^PUBLIC_URL=https:\/\/auth\.example\.com: https needs COOKIE_SECURE=1$/,
    ],
    [{ COOKIE_DOMAIN: 'example.com' }, /^COOKIE_DOMAIN=example\.com: set PUBLIC_URL too$/],
    [domain('wiki.example.com'), /PUBLIC_URL=https:\/\/auth\.example\.com is not in this domain$/],
    [domain('ample.com'), /is not in this domain/],
    [domain('.example.com'), /^COOKIE_DOMAIN=\.example\.com: expected a domain, such as example\.com$/],
    [domain('com'), /expected a domain/],
    [domain('example.com.'), /expected a domain/],
    [domain('example.com; Path=/x'), /expected a domain/],
    [domain('https://example.com'), /expected a domain/],
    [domain('example.com:443'), /expected a domain/],
    [{ PUBLIC_URL: 'http://127.0.0.1', COOKIE_DOMAIN: '127.0.0.1' }, /expected a domain/],
    [{ PUBLIC_URL: 'http://[::1]', COOKIE_DOMAIN: '[::1]' }, /expected a domain/],
    [{ REGISTRATION: 'closed' }, /^REGISTRATION=closed: expected open or local$/],
  ] as const) {
    t.throws(() => readConfig(env), { name: 'ValueError', message })
  }
})
