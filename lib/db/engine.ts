/** What a store has to do, and the errors that it throws. */
import type { User } from '../../user.ts'
import { ValueError } from '../errors.ts'

/** No row matches all attributes; named after SQLAlchemy's exception. */
export class NoResultFound extends Error {
  override name = 'NoResultFound'
}

/** A search by an unknown column, or by nothing; named after SQLAlchemy's exception. */
export class InvalidRequestError extends Error {
  override name = 'InvalidRequestError'
}

/** Another user has the email, which is compared as `emailKey` says. */
export class EmailTaken extends ValueError {
  override name = 'EmailTaken'

  constructor(email: string) {
    super(`User ${email} already exists`)
  }
}

/** The store cannot be opened, or cannot read or write now. The message is one line for people. Nothing was changed. */
export class StoreError extends Error {
  override name = 'StoreError'
}

/** Some columns and their values. */
export type Attributes = Partial<User>

/** What is known of a user before there is an id. */
export type NewUser = Attributes & Pick<User, 'email' | 'hashed_password'>

/**
 * A store. `DB` has checked every value, opens it before anything else, opens it again only after it was refused, and
 * closes it at most once, when it is open.
 */
export interface Engine {
  open(): Promise<void>
  close(): Promise<void>
  /** Throws `StoreError` unless the store answers now. */
  check(): Promise<void>
  count(): Promise<number> | number
  /** Adds a row with these columns, the next id, and null in the others. Throws `EmailTaken`. */
  insert(columns: NewUser): Promise<User>
  /** The match with the lowest id. The caller may keep and change it. */
  find(attributes: Attributes): Promise<User | undefined> | User | undefined
  /** Resolves with whether a row with this id and the expected values was there. Throws `EmailTaken`. */
  update(userId: number, attributes: Attributes, expected: Attributes): Promise<boolean>
}
