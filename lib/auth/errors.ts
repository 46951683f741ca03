/** The errors that Auth throws, as classes, so that a caller tells them apart without reading their messages. */
import { ValueError } from '../errors.ts'

/** A new email or password that breaks a rule. The message says which, and is meant for the person who chose it. */
export class InvalidInput extends ValueError {}

/** There is no user with the email. */
export class UnknownEmail extends ValueError {
  constructor(email: string) {
    super(`User ${email} does not exist`)
  }
}

/** A reset token that was never made, has been used or replaced, or has expired. */
export class UnknownToken extends ValueError {
  constructor() {
    super('no such reset token')
  }
}

/** A call that is refused now and may be tried again later. */
export class TryLater extends Error {
  override name = this.constructor.name
  /** Seconds to wait before the next try, a whole number. */
  readonly retryAfter: number

  constructor(message: string, retryAfter: number) {
    super(message)
    this.retryAfter = retryAfter
  }
}

/** Too many failed logins from one address, or to one account. Even the right password is refused. */
export class TooManyFailures extends TryLater {}

/** Too many passwords wait to be hashed. Nothing was changed. */
export class Overloaded extends TryLater {}
