/**
 * The `users` table (task 0): its name, its columns, and what makes a row valid. Column names keep their snake_case, so
 * that the file, the database and the code use the same names.
 */
import { ValueError } from './lib/errors.ts'

export { ValueError } from './lib/errors.ts'

/** The table's name, in SQL and as the key in `users.json`. */
export const TABLE = 'users'

/** Where the table is kept by default. */
export const DEFAULT_URL = `file:${TABLE}.json`

/** The values that a column takes. Integers are safe integers: JavaScript reads larger ones inexactly. */
type Column = { type: 'integer' | 'string'; nullable: boolean }

/**
 * Every column, in the order of the table; the type `User`, the rows in the file and the SQL follow from it. The first
 * five are the exercise's. A new column must be nullable, because existing rows lack it; to fill it for new users,
 * change `insert` in lib/db/table.ts and lib/db/postgres.ts. Older versions refuse a file with a new column.
 */
export const COLUMNS = {
  /** 1, 2, 3 …, given by the store; it never changes. */
  id: { type: 'integer', nullable: false },
  /** As it was registered. Unique, and compared as `emailKey` says. */
  email: { type: 'string', nullable: false },
  /** The password's hash, such as `$2b$12$…`, which has its salt in it. */
  hashed_password: { type: 'string', nullable: false },
  /** The SHA-256 digest of the session ID. */
  session_id: { type: 'string', nullable: true },
  /** The SHA-256 digest of the reset token. */
  reset_token: { type: 'string', nullable: true },
  /** Unix seconds. A session without an expiry has expired. */
  session_expires_at: { type: 'integer', nullable: true },
  /** Unix seconds. A reset token without an expiry has expired. */
  reset_expires_at: { type: 'integer', nullable: true },
} as const satisfies Record<string, Column>

/** The name of a column. */
export type ColumnName = keyof typeof COLUMNS

/** Every column's name, in the order of the table. The filter only tells TypeScript that they are columns. */
export const COLUMN_NAMES: readonly ColumnName[] = Object.keys(COLUMNS).filter(isColumn)

/** The row type, derived from COLUMNS; each property keeps its doc comment. */
type Row = {
  -readonly [Name in keyof typeof COLUMNS]:
    | ((typeof COLUMNS)[Name]['type'] extends 'integer' ? number : string)
    | ((typeof COLUMNS)[Name]['nullable'] extends true ? null : never)
}

/** One row of the table. The interface gives the class a property for each column. */
export interface User extends Row {}
export class User {
  /**
   * Makes a row from an unchecked object, such as parsed JSON. Nullable columns may be missing, so that a table with
   * only the exercise's five columns loads.
   * @throws {ValueError} says what is wrong with the row
   */
  constructor(values: unknown) {
    if (typeof values !== 'object' || values === null || Array.isArray(values)) {
      throw new ValueError('a row must be an object')
    }
    for (const name in values) if (!isColumn(name)) throw new ValueError(`unknown column ${JSON.stringify(name)}`)
    const given: Partial<Record<ColumnName, unknown>> = values
    const row: Partial<Record<ColumnName, unknown>> = this
    for (const name of COLUMN_NAMES) {
      const value = given[name] ?? null
      checkValue(name, value)
      row[name] = value
    }
  }
}

/** True if the table has a column of this name. */
export function isColumn(name: string): name is ColumnName {
  return Object.hasOwn(COLUMNS, name)
}

/** The longest string that a column holds, in characters (the exercise's `String(250)`). */
export const MAX_CHARS = 250

/** True if a column can hold the value. Strings are well-formed Unicode without NUL, which PostgreSQL refuses. */
export function canHold(column: ColumnName, value: unknown): boolean {
  const { type, nullable } = COLUMNS[column]
  if (value === null) return nullable
  if (type === 'integer') return Number.isSafeInteger(value) && (column !== 'id' || Number(value) > 0)
  return typeof value === 'string' && !isTooLong(value) && value.isWellFormed() && !value.includes('\0')
}

/** Throws `ValueError` unless the column can hold the value. */
export function checkValue(column: ColumnName, value: unknown): void {
  if (canHold(column, value)) return
  const { type, nullable } = COLUMNS[column]
  const integer = column === 'id' ? 'a positive integer' : 'an integer'
  const text = `a string of at most ${MAX_CHARS} characters, well-formed and without NUL`
  throw new ValueError(`${column} must be ${type === 'integer' ? integer : text}${nullable ? ', or null' : ''}`)
}

/** True if a text has over `MAX_CHARS` code points, as PostgreSQL counts: an emoji such as U+1F600 is one, not two. */
export function isTooLong(text: string): boolean {
  return text.length > MAX_CHARS && [...text].length > MAX_CHARS
}

/**
 * The form in which emails are compared: ASCII letters in lower case, everything else as it is. Unicode case mapping
 * would turn different addresses into one, which has been used to take over accounts (Unicode TR 36, section 2;
 * CVE-2019-19844). In SQL it is `EMAIL_KEY` in lib/db/schema.ts.
 */
export function emailKey(email: string): string {
  return /[A-Z]/.test(email) ? email.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()) : email
}
