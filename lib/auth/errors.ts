/** What Auth refuses. */
import { ValueError } from '../../user.ts'

/** An email or password that cannot be registered; the message says why, and is meant for the client. */
export class InvalidInput extends ValueError {
  override name = 'InvalidInput'
}

/** Something that is refused now and may be tried again after `retryAfter` seconds. */
export class TryLater extends Error {
  readonly retryAfter: number

  /** `retryAfter` is in whole seconds. */
  constructor(message: string, retryAfter: number) {
    super(message)
    this.retryAfter = retryAfter
  }
}

/** Too many failed logins from one address. */
export class TooManyFailures extends TryLater {}

/** Too many passwords wait to be hashed. */
export class Overloaded extends TryLater {}
