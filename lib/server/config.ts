/** The environment, checked. */
import { DEFAULT_URL } from '../../user.ts'
import { ValueError } from '../errors.ts'
import { readPublicAddress } from './public-address.ts'

/** The default of an integer, and the least and the most that it may be. */
type Bounds = { default: number; min: number; max: number }

/** Which options of Auth come from the environment; their bounds are Auth's. */
type AuthBounds = Record<
  'bcryptCost' | 'sessionTtl' | 'resetTtl' | 'loginFailures' | 'accountFailures' | 'passwordMin',
  Bounds
>

/** The configuration; `auth` holds the options of Auth. */
export type Config = ReturnType<typeof readEnvironment>

/**
 * Reads the configuration from environment variables.
 * @param bounds the bounds and defaults of Auth's options
 * @throws {ValueError} names the first variable that is wrong, and its value
 */
export function readEnvironment(env: Record<string, string | undefined>, bounds: AuthBounds) {
  const text = (name: string, fallback: string) => {
    if (env[name] === '') throw new ValueError(`${name} is empty: set it or unset it`)
    return env[name] ?? fallback
  }
  const integer = (name: string, { default: fallback, min, max }: Bounds) => {
    const value = text(name, String(fallback))
    if (/^\d{1,10}$/.test(value) && Number(value) >= min && Number(value) <= max) return Number(value)
    throw new ValueError(`${name}=${value}: expected an integer from ${min} to ${max}`)
  }
  const webhook = env['RESET_WEBHOOK']
  if (webhook !== undefined && !(/^https?:\/\//.test(webhook) && URL.canParse(webhook))) {
    throw new ValueError(`RESET_WEBHOOK=${webhook}: expected http://… or https://…`)
  }
  const flag = (name: string, fallback: 0 | 1) => integer(name, { default: fallback, min: 0, max: 1 }) === 1
  // libuv reads this one itself, and takes any nonsense for 1.
  integer('UV_THREADPOOL_SIZE', { default: 4, min: 1, max: 1024 })
  const cookieSecure = flag('COOKIE_SECURE', 0)
  const registration = text('REGISTRATION', 'open')
  if (registration !== 'open' && registration !== 'local') {
    throw new ValueError(`REGISTRATION=${registration}: expected open or local`)
  }
  return {
    /** `null`: every address, IPv6 and IPv4. */
    host: env['HOST'] === undefined ? null : text('HOST', ''),
    port: integer('PORT', { default: 5000, min: 0, max: 65535 }),
    auth: {
      databaseUrl: text('DATABASE_URL', DEFAULT_URL),
      bcryptCost: integer('BCRYPT_COST', bounds.bcryptCost),
      sessionTtl: integer('SESSION_TTL', bounds.sessionTtl),
      resetTtl: integer('RESET_TTL', bounds.resetTtl),
      loginFailures: integer('LOGIN_FAILURES', bounds.loginFailures),
      accountFailures: integer('ACCOUNT_FAILURES', bounds.accountFailures),
      passwordMin: integer('PASSWORD_MIN', bounds.passwordMin),
    },
    trustProxy: flag('TRUST_PROXY', 0),
    resetWebhook: webhook ?? null,
    cookieSecure,
    registration,
    ...readPublicAddress(text('PUBLIC_URL', ''), text('COOKIE_DOMAIN', ''), cookieSecure),
    accessLog: flag('ACCESS_LOG', 1),
  }
}
