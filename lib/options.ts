/** Options: one table defines what a program may pass, the environment variables, and the messages for wrong values. */
import { inspect } from 'node:util'
import { messageOf, ValueError, withoutPassword } from './errors.ts'

/** An option: its environment variable, default and bounds; `check` throws a `ValueError` that says what is allowed. */
export type Option =
  | { env: string; default: number; min: number; max: number }
  | { env: string; default: boolean }
  | { env: string; default: string | null; check?: (value: string) => void }

/** Options by the names that programs use. */
export type Options = Readonly<Record<string, Option>>

type Value<Default> = Default extends number ? number : Default extends boolean ? boolean : string | (Default & null)

/** The values of a table's options; an editor shows each with its comment in the table. */
export type Values<Table extends Options> = { readonly [Name in keyof Table]: Value<Table[Name]['default']> }

/**
 * The options that a program passes, with the defaults of those that it leaves out.
 * @throws {ValueError} names the first option that is wrong or unknown, its value, and what is allowed
 */
export function readOptions<Table extends Options>(table: Table, given: Partial<Values<Table>>): Values<Table> {
  if (typeof given !== 'object' || given === null) {
    throw new ValueError(`expected an object with options, got ${withoutPassword(shown(given))}`)
  }
  const values: Record<string, unknown> = { ...given }
  const show = (name: string) => `${name}=${shown(values[name])}`
  const unknown = Object.keys(values).find((name) => !Object.hasOwn(table, name))
  if (unknown !== undefined) {
    const names = Object.keys(table).join(', ')
    throw new ValueError(`unknown option ${withoutPassword(show(unknown))}: expected one of ${names}`)
  }
  complete(table, values, show)
  return values
}

/**
 * The options that environment variables set, with the defaults of those that are not set.
 * @throws {ValueError} names the first variable that is wrong, its value, and what is allowed
 */
export function readEnvironment<Table extends Options>(
  table: Table,
  env: Readonly<Record<string, string | undefined>>,
): Values<Table> {
  const values: Record<string, unknown> = {}
  for (const [name, option] of Object.entries(table)) {
    const text = env[option.env]
    if (text === '') throw new ValueError(`${option.env} is empty: set it or unset it`)
    values[name] = text
    if (typeof option.default === 'boolean' && /^[01]$/.test(text ?? '')) values[name] = text === '1'
    if ('min' in option && /^\d{1,10}$/.test(text ?? '')) values[name] = Number(text)
  }
  complete(table, values, (_name, option) => `${option.env}=${env[option.env]}`)
  return values
}

/** A value as a message shows it. Of an object, only the type is shown: a password may be anywhere in it. */
function shown(value: unknown): string {
  return Object(value) === value ? Object.prototype.toString.call(value) : inspect(value, { breakLength: Infinity })
}

/** Control characters are refused: a carriage return from a Windows `.env` file would lead to a new, empty table. */
const CONTROL = /\p{Cc}/gu

/** Adds the defaults, and throws for the first wrong value, which `show` writes as `NAME=VALUE` for the message. */
function complete<Table extends Options>(
  table: Table,
  values: Record<string, unknown>,
  show: (name: string, option: Option) => string,
): asserts values is Values<Table> {
  for (const [name, option] of Object.entries(table)) {
    try {
      if (values[name] === undefined) values[name] = option.default
      else checkValue(option, values[name])
    } catch (error) {
      const text = withoutPassword(show(name, option)).replace(CONTROL, (character) => {
        return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
      })
      throw new ValueError(`${text}: ${messageOf(error)}`)
    }
  }
}

function checkValue(option: Option, value: unknown): void {
  if ('min' in option) {
    const { min, max } = option
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return
    throw new ValueError(`expected an integer from ${min} to ${max}`)
  }
  if (typeof option.default === 'boolean') {
    if (typeof value !== 'boolean') throw new ValueError('expected 1 (true) or 0 (false)')
  } else if (value !== null || option.default !== null) {
    if (typeof value !== 'string' || value === '') throw new ValueError('expected a non-empty string')
    if (value.search(CONTROL) >= 0) throw new ValueError('remove the control character, such as a carriage return')
    // At the end of a file's name a space is hard to see, and opens another table, too.
    if (value !== value.trim()) throw new ValueError('remove the space before or after it')
    if ('check' in option) option.check?.(value)
  }
}
