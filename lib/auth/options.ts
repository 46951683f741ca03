/** The options of Auth: the one place that has their names, defaults and bounds. */
import { DB } from '../../db.ts'
import { DEFAULT_URL } from '../../user.ts'
import { type Options, type Values } from '../options.ts'

const TEN_YEARS_S = 315_360_000

/** Every option of Auth: its environment variable, its default, and its bounds or its check. */
export const AUTH_OPTIONS = {
  /** Where the users are kept: `file:PATH`, `memory:` or `postgres://…` (default `file:users.json`). */
  databaseUrl: { env: 'DATABASE_URL', default: DEFAULT_URL, check: (url: string) => void new DB(url) },
  /** bcrypt's work factor, 4 to 31 (default 12). Each step doubles the time that a login takes. */
  bcryptCost: { env: 'BCRYPT_COST', default: 12, min: 4, max: 31 },
  /** Seconds that a session lives: up to ten years (default: a week). */
  sessionTtl: { env: 'SESSION_TTL', default: 604_800, min: 1, max: TEN_YEARS_S },
  /** Seconds that a reset token lives: up to ten years (default: an hour). */
  resetTtl: { env: 'RESET_TTL', default: 3600, min: 1, max: TEN_YEARS_S },
  /** Failed logins allowed per client address in ten minutes: up to 1000 (default 10). 0: no limit. */
  loginFailures: { env: 'LOGIN_FAILURES', default: 10, min: 0, max: 1000 },
  /** Failed logins allowed per account in an hour, from any address: up to 10000 (default 100). 0: no limit. */
  accountFailures: { env: 'ACCOUNT_FAILURES', default: 100, min: 0, max: 10_000 },
  /** Characters that a new password needs, 1 to 72 (default 1). */
  passwordMin: { env: 'PASSWORD_MIN', default: 1, min: 1, max: 72 },
} as const satisfies Options

/** The options of an Auth. */
export interface AuthOptions extends Values<typeof AUTH_OPTIONS> {}
