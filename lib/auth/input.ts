/** The rules for what Auth is given, with the messages that an HTTP client gets. */
import { isTooLong, MAX_LENGTH } from '../../user.ts'
import { ValueError } from '../errors.ts'
import { InvalidInput } from './errors.ts'
import { flawOf, toNfc } from './passwords.ts'

/**
 * Where a call comes from, both optional: the client's address, by which failed logins are counted and passwords that wait
 * to be hashed take turns, and a signal that aborts when the client disconnects.
 */
export type Client = { address?: string | undefined; signal?: AbortSignal | undefined }

/** Throws `ValueError` unless an argument is a string. */
export function checkString(name: string, value: unknown): asserts value is string {
  if (typeof value !== 'string') throw new ValueError(`${name} must be a string`)
}

/** Throws `ValueError` unless this tells where a call comes from. */
export function checkClient(client: Client): void {
  if (typeof client !== 'object' || client === null) throw new ValueError('client must be an object')
  const { address, signal } = client
  if (address !== undefined) checkString('client.address', address)
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new ValueError('client.signal must be an AbortSignal')
  }
}

/** Throws `InvalidInput` unless somebody can register with this email. */
export function checkNewEmail(email: unknown): asserts email is string {
  checkNotMissing('email', email)
  if (!email.includes('@')) throw new InvalidInput('email has no @')
  if (isTooLong(email)) throw new InvalidInput(`email is longer than ${MAX_LENGTH} characters`)
  if (!email.isWellFormed()) throw new InvalidInput('email is not well-formed Unicode')
  // Two addresses that look the same would be two users.
  if (/[\p{Z}\p{C}]/u.test(email)) throw new InvalidInput('email contains a space, a control or an invisible character')
}

/**
 * Throws `InvalidInput` unless this can be somebody's new password.
 * @param name of the form's field, for the message
 * @param min how many characters it needs; each code point of its NFC form is one (NIST SP 800-63B, "Passwords")
 */
export function checkNewPassword(name: string, password: unknown, min: number): asserts password is string {
  checkNotMissing(name, password)
  const flaw = flawOf(password)
  if (flaw !== null) throw new InvalidInput(`${name} ${flaw}`)
  if ([...toNfc(password)].length < min) throw new InvalidInput(`${name} is shorter than ${min} characters`)
}

/** Throws unless the value is a string and not empty. */
function checkNotMissing(name: string, value: unknown): asserts value is string {
  if (value === undefined || value === null || value === '') throw new InvalidInput(`${name} is missing`)
  checkString(name, value)
}
