/** What a store has to do, and its errors. */
import type { User } from '../../user.ts'

/** No row has all of the attributes; named after SQLAlchemy's exception. */
export class NoResultFound extends Error {
  override name = 'NoResultFound'
}

/** A search by something that is no column, or by nothing; named after SQLAlchemy's exception. */
export class InvalidRequestError extends Error {
  override name = 'InvalidRequestError'
}

/** The email is in the table already, whatever its case. */
export class EmailTaken extends Error {
  override name = 'EmailTaken'
}

/** The store cannot be opened, or cannot write now; the message is one line for people. Nothing was changed. */
export class StoreError extends Error {
  override name = 'StoreError'
}

/** Some columns and their values. */
export type Attributes = Partial<User>

/** What a store has to do; `DB` has checked the attributes. */
export interface Engine {
  open(): Promise<void>
  close(): Promise<void>
  count(): Promise<number> | number
  /** Throws `EmailTaken`. */
  insert(email: string, hashedPassword: string): Promise<User>
  find(attributes: Attributes): Promise<User | undefined> | User | undefined
  /** Tells whether there was such a row; throws `EmailTaken`. */
  update(userId: number, attributes: Attributes, expected: Attributes): Promise<boolean>
}
