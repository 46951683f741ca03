/** The options of Auth. Their defaults and bounds stand here once, for programs and for the environment. */
import { inspect } from 'node:util'
import { DEFAULT_URL } from '../../user.ts'
import { ValueError, withoutPassword } from '../errors.ts'

/** An option that is an integer: its default, and the least and the most that it may be. */
export type IntegerOption = { default: number; min: number; max: number }

/** Ten years, in seconds. */
const TEN_YEARS = 315_360_000

/** Every option that is an integer. */
export const AUTH_OPTIONS = {
  /** bcrypt's work factor, 4 to 31 (default 12). Each step doubles the time that a login takes. */
  bcryptCost: { default: 12, min: 4, max: 31 },
  /** Seconds that a session lives: up to ten years (default: a week). */
  sessionTtl: { default: 604_800, min: 1, max: TEN_YEARS },
  /** Seconds that a reset token lives: up to ten years (default: an hour). */
  resetTtl: { default: 3600, min: 1, max: TEN_YEARS },
  /** Failed logins that a client address may have in ten minutes: up to 1000 (default 10). 0 turns the limit off. */
  loginFailures: { default: 10, min: 0, max: 1000 },
  /** Failed logins that an account may have in an hour, from any address: up to 10000 (default 100). 0 turns the limit off. */
  accountFailures: { default: 100, min: 0, max: 10_000 },
  /** Characters that a new password needs, 1 to 72 (default 1). */
  passwordMin: { default: 1, min: 1, max: 72 },
} as const satisfies Record<string, IntegerOption>

type IntegerOptions = { [Name in keyof typeof AUTH_OPTIONS]: number }

/** The options of an Auth. */
export interface AuthOptions extends IntegerOptions {
  /** Where the users are kept: `file:PATH`, `memory:` or `postgres://…` (default `file:users.json`). */
  databaseUrl: string
}

/**
 * Checks options, and fills in the defaults of those that are not given. Whether there is a store for `databaseUrl` is for
 * DB to say.
 * @throws {ValueError} names the first option that is wrong, its value, and what is allowed
 */
export function readOptions(given: Partial<AuthOptions>): AuthOptions {
  if (typeof given !== 'object' || given === null) {
    throw new ValueError(`expected an object with options, got ${inspect(given)}`)
  }
  const names = ['databaseUrl', ...Object.keys(AUTH_OPTIONS)]
  for (const [name, value] of Object.entries(given)) {
    if (names.includes(name)) continue
    throw new ValueError(
      `unknown option ${name}=${withoutPassword(inspect(value))}: expected one of ${names.join(', ')}`,
    )
  }
  const integer = (name: keyof typeof AUTH_OPTIONS): number => {
    const { default: fallback, min, max } = AUTH_OPTIONS[name]
    const { [name]: value = fallback } = given
    if (Number.isInteger(value) && value >= min && value <= max) return value
    throw new ValueError(`${name}=${inspect(value)}: expected an integer from ${min} to ${max}`)
  }
  return {
    databaseUrl: given.databaseUrl === undefined ? DEFAULT_URL : given.databaseUrl,
    bcryptCost: integer('bcryptCost'),
    sessionTtl: integer('sessionTtl'),
    resetTtl: integer('resetTtl'),
    loginFailures: integer('loginFailures'),
    accountFailures: integer('accountFailures'),
    passwordMin: integer('passwordMin'),
  }
}
