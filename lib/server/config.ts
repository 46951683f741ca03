/** The server's options, and the rules between them. Those of Auth are in `auth.options`. */
import { ValueError } from '../errors.ts'
import { type Options, readEnvironment, readOptions, type Values } from '../options.ts'
import { checkReceiver } from './webhook.ts'

/** Every option of the server: its environment variable, its default, and what it may be. */
export const SERVER_OPTIONS = {
  /** The address to listen on; `null`: every one, IPv6 and IPv4. */
  host: { env: 'HOST', default: null },
  /** The port to listen on; 0: any free one. */
  port: { env: 'PORT', default: 5000, min: 0, max: 65_535 },
  /** Believe the proxy's `X-Forwarded-*` and `X-Original-*`. */
  trustProxy: { env: 'TRUST_PROXY', default: false },
  /** Where reset tokens are sent, by HTTP; `null`: they are handed to whoever asks. */
  resetWebhook: { env: 'RESET_WEBHOOK', default: null, check: checkReceiver },
  /** Who may register: everybody (`open`), or only this machine (`local`). */
  registration: {
    env: 'REGISTRATION',
    default: 'open',
    check: (value) => check(value === 'open' || value === 'local', 'expected open or local'),
  },
  /** The name of the session's cookie; change it if an app has a `session_id` of its own. */
  cookieName: { env: 'COOKIE_NAME', default: 'session_id', check: checkCookieName },
  /** `Secure` on the cookie: browsers send it over HTTPS only. */
  cookieSecure: { env: 'COOKIE_SECURE', default: false },
  /** The domain whose hosts share the session, in lower case; `null`: only the service's own host has it. */
  cookieDomain: { env: 'COOKIE_DOMAIN', default: null, check: checkDomain },
  /** The service's origin in the browser; `null`: whatever the Host header says. */
  publicUrl: { env: 'PUBLIC_URL', default: null, check: checkPublicUrl },
  /** Request lines on stdout. */
  accessLog: { env: 'ACCESS_LOG', default: true },
} as const satisfies Options

/** Options that are only checked here: libuv reads this one itself, and takes `abc` for 1, and `12abc` for 12. */
export const PROCESS_OPTIONS = {
  threads: { env: 'UV_THREADPOOL_SIZE', default: 4, min: 1, max: 1024 },
} as const satisfies Options

/** The server's configuration. */
export interface Config extends Values<typeof SERVER_OPTIONS> {}

/**
 * Reads the server's configuration from environment variables.
 * @throws {ValueError} names the first variable that is wrong, and its value
 */
export function readConfig(env: Record<string, string | undefined>): Config {
  readEnvironment(PROCESS_OPTIONS, env)
  return checkTogether(readEnvironment(SERVER_OPTIONS, env))
}

/** The configuration of a server in a program, completed with the defaults. Throws like `readConfig`. */
export function completeConfig(given: Partial<Config>): Config {
  return checkTogether(readOptions(SERVER_OPTIONS, given))
}

/** Checks the options that depend on each other, and writes the origin and the domain as browsers do. */
function checkTogether(config: Config): Config {
  const { cookieName, cookieSecure } = config
  const publicUrl = config.publicUrl === null ? null : new URL(config.publicUrl).origin
  const cookieDomain = config.cookieDomain === null ? null : config.cookieDomain.toLowerCase()
  const name = `COOKIE_NAME=${cookieName}`
  // Browsers silently drop a cookie that breaks its prefix's rules; the prefix may be in upper or lower case (RFC
  // 6265bis, section 4.1.3).
  if (/^__(?:host|secure|http)-/i.test(cookieName)) check(cookieSecure, `${name}: this prefix needs COOKIE_SECURE=1`)
  if (/^__host-/i.test(cookieName)) check(cookieDomain === null, `${name}: this prefix allows no COOKIE_DOMAIN`)
  if (publicUrl?.startsWith('https:')) check(cookieSecure, `PUBLIC_URL=${publicUrl}: https needs COOKIE_SECURE=1`)
  if (cookieDomain !== null) {
    check(publicUrl !== null, `COOKIE_DOMAIN=${cookieDomain}: set PUBLIC_URL too`)
    const isIn = publicUrl !== null && `.${new URL(publicUrl).hostname}`.endsWith(`.${cookieDomain}`)
    check(isIn, `COOKIE_DOMAIN=${cookieDomain}: PUBLIC_URL=${publicUrl} is not in this domain`)
  }
  return { ...config, publicUrl, cookieDomain }
}

function check(isRight: boolean, message: string): void {
  if (!isRight) throw new ValueError(message)
}

function checkCookieName(name: string): void {
  check(/^[!#$%&'*+\-.^`|~\w]+$/.test(name), "expected letters, digits and !#$%&'*+-.^_`|~ (a token, RFC 9110)")
  check(name.toLowerCase() !== 'notice', 'the pages have a cookie of this name: choose another')
}

/** Accepts only an origin: anything beyond it (a path, a password) would be silently dropped. */
function checkPublicUrl(value: string): void {
  const url = URL.canParse(value) ? new URL(value) : null
  const isOrigin = url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`
  check(isOrigin, 'expected https://HOST or https://HOST:PORT (or http://)')
}

/** Refuses a top-level domain, for which browsers accept no cookie, and an IP address, which has no hosts below it. */
function checkDomain(value: string): void {
  const domain = value.toLowerCase()
  const isName = URL.canParse(`http://${domain}`) && new URL(`http://${domain}`).hostname === domain
  check(isName && /^[^.].*\.[^.]*[a-z][^.]*$/.test(domain), 'expected a domain, such as example.com')
}
