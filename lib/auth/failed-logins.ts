/** How many tries a client, and an account, has left. */
import { emailKey } from '../../user.ts'
import { TooManyFailures } from './errors.ts'
import { FailureWindow } from './failure-window.ts'
import { networkOf } from './network.ts'

const MINUTE = 60_000

/**
 * Counts failed logins per client address (OWASP, Authentication Cheat Sheet, "Login Throttling") and per account, because an
 * attacker has many addresses (NIST SP 800-63B, "Rate Limiting"). A success does not reset the count; otherwise a guesser could
 * log in to their own account between guesses. An unknown email is an account like any other here, so that a refusal does not
 * tell who is registered.
 */
export class FailedLogins {
  readonly #ofNetworks: FailureWindow
  readonly #ofAccounts: FailureWindow

  /** Both are the number of failures allowed; 0: any number. */
  constructor({ loginFailures, accountFailures }: { loginFailures: number; accountFailures: number }) {
    this.#ofNetworks = new FailureWindow(loginFailures, 10 * MINUTE)
    this.#ofAccounts = new FailureWindow(accountFailures, 60 * MINUTE)
  }

  /** Throws `TooManyFailures` while the address or the account has no try left. Without an address, only the account counts. */
  check(email: string, address: string | undefined): void {
    if (address !== undefined) {
      refuseUntil(this.#ofNetworks.waitOf(networkOf(address)), 'too many failed logins from your address')
    }
    refuseUntil(
      this.#ofAccounts.waitOf(emailKey(email)),
      'too many failed logins with this email: wait, or reset the password',
    )
  }

  /** Counts a failed login. */
  add(email: string, address: string | undefined): void {
    if (address !== undefined) this.#ofNetworks.add(networkOf(address))
    this.#ofAccounts.add(emailKey(email))
  }

  /** Gives an account all its tries back, once its owner has proved who they are. */
  clear(email: string): void {
    this.#ofAccounts.clear(emailKey(email))
  }
}

/** Throws if there are milliseconds to wait. */
function refuseUntil(wait: number, message: string): void {
  if (wait > 0) throw new TooManyFailures(message, Math.ceil(wait / 1000))
}
