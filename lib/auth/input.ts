/** Checks what callers pass to Auth, with messages that HTTP clients see too, and finds an address's network. */
import { isIPv6 } from 'node:net'
import { isTooLong, MAX_CHARS } from '../../user.ts'
import { ValueError } from '../errors.ts'
import { InvalidInput } from './errors.ts'
import { flawOf, toNfc } from './passwords.ts'

/**
 * Where a call comes from: the client's address, by which failed logins are counted and waiting passwords take turns,
 * and a signal that aborts when the client disconnects. Both are optional.
 */
export type Client = { address?: string | undefined; signal?: AbortSignal | undefined }

/** Throws `ValueError` unless an argument is a string. */
export function checkString(name: string, value: unknown): asserts value is string {
  if (typeof value !== 'string') throw new ValueError(`${name} must be a string`)
}

/**
 * A copy of a client, because its caller may change it while the call waits.
 * @throws {ValueError} when it is not a `Client`
 */
export function copyClient(client: Client): Client {
  if (typeof client !== 'object' || client === null) throw new ValueError('client must be an object')
  const { address, signal } = client
  if (address !== undefined) checkString('client.address', address)
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new ValueError('client.signal must be an AbortSignal')
  }
  return { address, signal }
}

/** Throws `InvalidInput` unless this can be a new user's email. */
export function checkNewEmail(email: unknown): asserts email is string {
  checkNotMissing('email', email)
  if (!email.includes('@')) throw new InvalidInput('email has no @')
  if (isTooLong(email)) throw new InvalidInput(`email is longer than ${MAX_CHARS} characters`)
  // With these, two emails that look the same could be two users. \p{C} also matches lone surrogates.
  if (/[\p{Z}\p{C}]/u.test(email)) throw new InvalidInput('email contains a space, a control or an invisible character')
}

/**
 * Throws `InvalidInput` unless this can be somebody's new password.
 * @param name the form field's name, for the message
 * @param min the minimum length, in code points of the NFC form (NIST SP 800-63B, "Passwords")
 */
export function checkNewPassword(name: string, password: unknown, min: number): asserts password is string {
  checkNotMissing(name, password)
  const nfc = toNfc(password)
  const flaw = flawOf(nfc)
  if (flaw !== null) throw new InvalidInput(`${name} ${flaw}`)
  if ([...nfc].length < min) throw new InvalidInput(`${name} is shorter than ${min} characters`)
}

function checkNotMissing(name: string, value: unknown): asserts value is string {
  if (value === undefined || value === null || value === '') throw new InvalidInput(`${name} is missing`)
  checkString(name, value)
}

/**
 * The network that an address counts for. For IPv6 it is the /64: a subscriber has at least one (RFC 6177), and could
 * take a new address from it for every try. An IPv4 address counts on its own, even when it is written as IPv6,
 * `::ffff:1.2.3.4`. Any other text is returned unchanged.
 */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address
  // URL normalizes the many ways to write an address (RFC 5952), but refuses a zone such as %eth0.
  const short = new URL(`http://[${address.replace(/%.*/, '')}]`).hostname.slice(1, -1)
  const zeros = '0:'.repeat(8 - short.split(':').filter(Boolean).length)
  const groups = short.replace('::', `:${zeros}`).split(':').filter(Boolean)
  if (groups.slice(0, 6).join(':') !== '0:0:0:0:0:ffff') return `${groups.slice(0, 4).join(':')}::/64`
  const bytes = groups.slice(6).flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255])
  return bytes.join('.')
}
