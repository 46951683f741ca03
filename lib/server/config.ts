/** The environment, checked. */
import { ValueError } from '../../user.ts'

/** The longest life of a session or a token, in seconds: ten years. */
const MAX_TTL = 315_360_000

/** The configuration, as SPEC and README have it. */
export type Config = ReturnType<typeof readConfig>

/**
 * Reads the configuration from the environment.
 * @throws {ValueError} names the first variable that is wrong, and its value
 */
export function readConfig(env: Record<string, string | undefined>) {
  const text = (name: string, fallback: string) => {
    if (env[name] === '') throw new ValueError(`${name} is empty: set it or unset it`)
    return env[name] ?? fallback
  }
  const integer = (name: string, fallback: number, min: number, max: number) => {
    const value = text(name, String(fallback))
    if (/^\d{1,10}$/.test(value) && Number(value) >= min && Number(value) <= max) return Number(value)
    throw new ValueError(`${name}=${value}: expected an integer from ${min} to ${max}`)
  }
  const webhook = env['RESET_WEBHOOK']
  if (webhook !== undefined && !(/^https?:\/\//.test(webhook) && URL.canParse(webhook))) {
    throw new ValueError(`RESET_WEBHOOK=${webhook}: expected http://… or https://…`)
  }
  return {
    host: text('HOST', '0.0.0.0'),
    port: integer('PORT', 5000, 0, 65535),
    databaseUrl: text('DATABASE_URL', 'file:users.json'),
    bcryptCost: integer('BCRYPT_COST', 12, 4, 31),
    sessionTtl: integer('SESSION_TTL', 604800, 1, MAX_TTL),
    resetTtl: integer('RESET_TTL', 3600, 1, MAX_TTL),
    loginFailures: integer('LOGIN_FAILURES', 10, 0, 1000),
    trustProxy: integer('TRUST_PROXY', 0, 0, 1) === 1,
    resetWebhook: webhook ?? null,
    cookieSecure: integer('COOKIE_SECURE', 0, 0, 1) === 1,
    accessLog: integer('ACCESS_LOG', 1, 0, 1) === 1,
  }
}

/** A URL as it may be shown. */
export function withoutPassword(url: string): string {
  return url.replace(/^(\w+:\/\/[^:@/]*):.*@/, '$1:***@')
}
