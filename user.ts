/**
 * The `users` table (task 0): its name, its columns, and what makes a row valid. The column names keep their snake_case,
 * so that the file, the database and the code show the same words.
 */

/** The table's name, in SQL and as the key in `users.json`. */
export const TABLE = 'users'

/** One row. The two expiries are ours; the first five columns are the exercise's. */
export type User = {
  /** 1, 2, 3 …, given by the store and never changed. */
  id: number
  /** As it was registered; unique and found whatever its case. */
  email: string
  /** A bcrypt hash in its modular crypt form, `$2b$12$…`. */
  hashed_password: string
  session_id: string | null
  reset_token: string | null
  /** Unix seconds. A session or token without an expiry has expired. */
  session_expires_at: number | null
  reset_expires_at: number | null
}

/** A value that breaks a rule; named after the Python exception that the exercise raises (tasks 3, 5, 17, 18). */
export class ValueError extends Error {
  override name = 'ValueError'
}

/** The longest string that a column holds, in characters (the exercise's `String(250)`). */
export const MAX_LENGTH = 250

/** Every column, in the order of the table, with its type and whether it may be null. */
export const COLUMNS: Readonly<Record<keyof User, { type: 'integer' | 'string'; nullable: boolean }>> = {
  id: { type: 'integer', nullable: false },
  email: { type: 'string', nullable: false },
  hashed_password: { type: 'string', nullable: false },
  session_id: { type: 'string', nullable: true },
  reset_token: { type: 'string', nullable: true },
  session_expires_at: { type: 'integer', nullable: true },
  reset_expires_at: { type: 'integer', nullable: true },
}

/** The columns' names, typed. */
const COLUMN_NAMES = Object.keys(COLUMNS).filter(isColumn)

/** Tells whether the table has a column of this name. */
export function isColumn(name: string): name is keyof User {
  return Object.hasOwn(COLUMNS, name)
}

/** Throws `ValueError` where a column cannot hold the value. */
export function checkValue(column: keyof User, value: unknown): void {
  const { type, nullable } = COLUMNS[column]
  if (value === null && nullable) return
  const fits =
    type === 'integer'
      ? Number.isSafeInteger(value) && (column !== 'id' || Number(value) > 0)
      : typeof value === 'string' && !isTooLong(value)
  if (fits) return
  const kind = type === 'integer' ? 'an integer' : `a string of at most ${MAX_LENGTH} characters`
  throw new ValueError(
    `${column} must be ${column === 'id' ? 'a positive integer' : kind}${nullable ? ' or null' : ''}`,
  )
}

/** Counts as people and PostgreSQL do: an emoji is one character, though UTF-16 spends two units on it. */
export function isTooLong(text: string): boolean {
  return text.length > MAX_LENGTH && [...text].length > MAX_LENGTH
}

/**
 * The row that a parsed JSON value stands for, its columns in the order of the table. Nullable columns may be missing, so
 * that a table with only the exercise's five loads.
 * @throws {ValueError} says what is wrong with the row
 */
export function toUser(row: unknown): User {
  if (typeof row !== 'object' || row === null || Array.isArray(row)) throw new ValueError('a row must be an object')
  for (const name in row) if (!isColumn(name)) throw new ValueError(`${JSON.stringify(name)} is no column`)
  const { id, email, hashed_password }: Partial<User> = row
  const {
    session_id = null,
    reset_token = null,
    session_expires_at = null,
    reset_expires_at = null,
  }: Partial<User> = row
  const user = { id, email, hashed_password, session_id, reset_token, session_expires_at, reset_expires_at }
  assertUser(user)
  return user
}

/** Throws `ValueError` unless every column holds a value that it can hold. */
function assertUser(row: { [column in keyof User]: unknown }): asserts row is User {
  for (const column of COLUMN_NAMES) checkValue(column, row[column])
}
