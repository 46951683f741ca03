/** The interface of every store, the errors of stores and of `DB`, and the check of a row that a store has read. */
import { User } from '../../user.ts'
import { messageOf, ValueError } from '../errors.ts'

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
  constructor(email: string) {
    super(`User ${email} already exists`)
  }
}

/**
 * The store cannot be opened, or cannot read or write now. The message is one line for people. Nothing was changed,
 * unless it says that the change may have been made: when the connection fails, the database's answer may be lost.
 */
export class StoreError extends Error {
  override name = 'StoreError'
}

/** Some columns and their values. */
export type Attributes = Partial<User>

/** A store that is open. `DB` validates every value, closes the store at most once, and calls nothing after that. */
export interface Engine {
  close(): Promise<void>
  /** Throws `StoreError` when the process has lost its table, or the database is read-only. Sets no time limit. */
  check(): Promise<void>
  /** The number of rows; with a pattern, only of those whose `hashed_password` does not match it. */
  count(unlike?: RegExp): Promise<number> | number
  /** Adds a row with the next id, and null in the other columns. Throws `EmailTaken`. */
  insert(email: string, hashedPassword: string): Promise<User>
  /** The match with the lowest id. The caller may keep and change it. */
  find(attributes: Attributes): Promise<User | undefined> | User | undefined
  /** Changes the row that has all values of `where`, id included; false if there is none. Throws `EmailTaken`. */
  update(where: Attributes, changes: Attributes): Promise<boolean>
}

/** Checks a row that a store has read, as another program may have written it. The error says where the row is. */
export function toUser(row: unknown, locate: () => string): User {
  try {
    return new User(row)
  } catch (error) {
    throw new StoreError(`${locate()}: ${messageOf(error)}`)
  }
}
