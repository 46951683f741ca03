/** A login returns to an address of the service or its apps, and nowhere else. */
import t from 'tap'
import { readConfig } from '../../../../server.ts'
import { returnTo } from '../../../../lib/server/front-door/return-to.ts'

const PLAIN = readConfig({})
const PUBLIC = readConfig({ PUBLIC_URL: 'http://auth.example.com' })
const DOMAIN = readConfig({ PUBLIC_URL: 'https://auth.example.com', COOKIE_DOMAIN: 'Example.com', COOKIE_SECURE: '1' })
const PORT = readConfig({ PUBLIC_URL: 'http://example.com:8080', COOKIE_DOMAIN: 'example.com' })

t.test('a login returns to addresses of the service and its apps', async (t) => {
  for (const [config, rd, expected] of [
    [PLAIN, '/', '/'],
    [PLAIN, '/wiki/Page?a=b&c=%2F#d', '/wiki/Page?a=b&c=%2F#d'],
    [PLAIN, 'page', '/page'],
    [PLAIN, '/a "x" <y>', '/a%20%22x%22%20%3Cy%3E'],
    [PLAIN, '/%5Cevil.com', '/%5Cevil.com'],
    [PLAIN, '/a//evil.com', '/a//evil.com'],
    [PLAIN, '?next=//evil.com', '/?next=//evil.com'],
    [PLAIN, '/accounts', '/accounts'],
    [PUBLIC, '/wiki', 'http://auth.example.com/wiki'],
    [PUBLIC, 'http://AUTH.example.com:80/wiki', 'http://auth.example.com/wiki'],
    [PUBLIC, '/..//evil.com', 'http://auth.example.com//evil.com'],
    [DOMAIN, 'https://wiki.example.com/a?b#c', 'https://wiki.example.com/a?b#c'],
    [DOMAIN, 'https://a.b.example.com', 'https://a.b.example.com/'],
    [DOMAIN, 'https://example.com/', 'https://example.com/'],
    [DOMAIN, '//wiki.example.com/', 'https://wiki.example.com/'],
    [DOMAIN, 'https://wiki.example.com/login', 'https://wiki.example.com/login'],
    [DOMAIN, 'https:/wiki', 'https://auth.example.com/wiki'],
    [PORT, 'http://wiki.example.com:8080/', 'http://wiki.example.com:8080/'],
  ] as const) {
    t.equal(returnTo(config, rd), expected, rd)
  }
})

t.test('an address that is too long, is not printable ASCII, or has too long a host counts as missing', async (t) => {
  const long = 'x'.repeat(2047)
  t.equal(returnTo(PLAIN, `/${long}`), `/${long}`)
  for (const rd of [`/${long}x`, '/zoë', '/a\tb', '/a\r\nb', '/\x7f']) t.equal(returnTo(PLAIN, rd), '/account')
  const unicode = Array.from({ length: 226 }, (_, i) => encodeURIComponent(String.fromCodePoint(0x4e00 + 7 * i))).join(
    '',
  )
  for (const start of ['http://', 'https:', '//', '/\\', ' https:\\/']) {
    const began = process.cpuUsage()
    for (let i = 0; i < 100; i++) t.equal(returnTo(DOMAIN, start + unicode), '/account')
    t.ok(process.cpuUsage(began).user < 500_000, 'no host of that length is parsed')
  }
})

t.test("the service's own pages, and a missing address, lead to the account", async (t) => {
  for (const rd of [undefined, '', '/login', '/login/', '/logout?a', '/register#a', '/./account', '/a/../forgot']) {
    t.equal(returnTo(PLAIN, rd), '/account', rd ?? 'none')
    t.equal(returnTo(PUBLIC, rd), '/account', rd ?? 'none')
  }
  t.equal(returnTo(PUBLIC, 'http://auth.example.com//login'), '/account')
  t.equal(returnTo(DOMAIN, 'https://auth.example.com/verify'), '/account')
  const secure = readConfig({ PUBLIC_URL: 'http://auth.example.com', COOKIE_SECURE: '1' })
  t.equal(returnTo(secure, '/wiki'), '/account', 'the cookie would not be sent there')
})

/** Ways to leave the site, for a service without PUBLIC_URL. */
const ELSEWHERE = [
  'http://evil.com',
  'HTTPS://EVIL.COM/',
  '//evil.com',
  '///evil.com',
  '////evil.com',
  '/\\evil.com',
  '\\\\evil.com',
  '\\/evil.com',
  '/\\/evil.com',
  '\\/\\evil.com',
  '/\t/evil.com',
  '/\n/evil.com',
  '/\r\n/evil.com',
  '\t//evil.com',
  ' //evil.com',
  '\0//evil.com',
  '\x1f/\\evil.com',
  'ht\ntps://evil.com',
  'https:evil.com',
  'https:/evil.com',
  'https:\\evil.com',
  'https:\\\\evil.com',
  'https:///evil.com',
  'http:////evil.com',
  'http://evil.com\\@auth.example.com',
  '/..//evil.com',
  '/.//evil.com',
  '/a/..//evil.com',
  '/a/../..//evil.com',
  '/%2e%2e//evil.com',
  '/%2E//evil.com',
  '/.%2e//evil.com',
  '/..\\\\evil.com',
  '/.\\/evil.com',
  './/evil.com',
  '..//evil.com',
  'a/..//evil.com',
  '//evil.com/..//',
  '//evil%E3%80%82com',
  '//evil。com',
  '//ｅｖｉｌ.com',
  '//[::ffff:1.2.3.4]/',
  '//0x7f.1/',
  '//2130706433/',
  '//auth.example.com@evil.com',
  '//evil.com#auth.example.com',
  '//evil.com?auth.example.com',
  '//evil.com/auth.example.com',
  'http://rd.invalid@evil.com/',
  'http://rd.invalid:8/',
  'https://rd.invalid/',
  'http://rd.invalid.evil.com/',
  'http://user@rd.invalid/',
  'http://:x@rd.invalid/',
  'javascript:alert(1)',
  'JaVaScRiPt:alert(1)',
  'java\nscript:alert(1)',
  '\x01javascript:alert(1)',
  'javascript://rd.invalid/%0aalert(1)',
  'data:text/html,<script>alert(1)</script>',
  'vbscript:x',
  'blob:http://rd.invalid/x',
  'file:///etc/passwd',
  'ftp://rd.invalid/',
  'ws://rd.invalid/',
  'mailto:evil@evil.com',
  'view-source:http://evil.com',
  'about:blank',
  'http://',
  'http://%00evil.com',
  '//',
]

/** More ways, for a service at auth.example.com. */
const LOOK_ALIKES = [
  'https://evil-example.com/',
  'https://evilexample.com/',
  'https://example.com.evil.com/',
  'https://auth.example.com.evil.com/',
  'https://example.com./',
  'https://auth.example.com./',
  'https://example.com%2eevil.com/',
  'https://example.com%00.evil.com/',
  'https://examp1e.com/',
  'https://exаmple.com/',
  'https://example.co/',
  'https://com/',
  'https://.com/',
  'https://user@wiki.example.com/',
  'https://user:password@wiki.example.com/',
  'https://:@evil.com/',
  'https://wiki.example.com@evil.com/',
  'https://wiki.example.com:password@evil.com/',
  'https://wiki.example.com:8443/',
  'https://auth.example.com:80/',
  'http://wiki.example.com/',
  'http://auth.example.com/',
  'http:wiki.example.com',
  'https://evil.com\\.example.com/',
  'https://evil.com/.example.com',
  'https://evil.com?.example.com',
  'https://evil.com#.example.com',
  'https://evil.com\t/.example.com',
  'https://[::1].example.com/',
  'https://evil.com%23.example.com/',
  'https://evil.com%2f.example.com/',
  'blob:https://auth.example.com/x',
  'wss://wiki.example.com/',
  'ftp://wiki.example.com/',
  'filesystem:https://auth.example.com/x',
]

t.test('no address leads to another site', async (t) => {
  t.ok(ELSEWHERE.length > 60 && LOOK_ALIKES.length > 30)
  for (const rd of ELSEWHERE) t.equal(returnTo(PLAIN, rd), '/account', JSON.stringify(rd))
  for (const config of [PUBLIC, DOMAIN, PORT]) {
    for (const rd of [...ELSEWHERE, ...LOOK_ALIKES]) {
      const back = returnTo(config, rd)
      // With PUBLIC_URL, an address that stays at the service comes back with its scheme and host.
      const allowed = config === PUBLIC ? /^(\/account$|http:\/\/auth\.example\.com\/)/ : undefined
      const shared = config === DOMAIN ? /^(\/account$|https:\/\/auth\.example\.com\/)/ : undefined
      t.match(back, allowed ?? shared ?? /^(\/account$|http:\/\/example\.com:8080\/)/, JSON.stringify(rd))
    }
  }
  for (const rd of LOOK_ALIKES) t.equal(returnTo(DOMAIN, rd), '/account', JSON.stringify(rd))
  t.equal(returnTo(PUBLIC, 'https://auth.example.com/'), '/account', 'another scheme')
  t.equal(returnTo(PUBLIC, 'http://wiki.example.com/'), '/account', 'the domain is not shared')
  t.equal(returnTo(PUBLIC, 'http://example.com/'), '/account', 'nor the domain above')
})

t.test('an address stays on the site when a browser resolves it, and fits in a header', async (t) => {
  for (const rd of [...ELSEWHERE, ...LOOK_ALIKES, '/a b', '/é?é#é', '/%', '/a\\b', '/\ud800']) {
    const back = returnTo(PLAIN, rd)
    t.equal(new URL(back, 'https://me.example').origin, 'https://me.example', JSON.stringify(rd))
    t.match(back, /^[!-~]+$/)
  }
})
