/** The table in PostgreSQL: made from the columns in user.ts, and completed where it is older. */
import type { Pool, PoolClient } from 'pg'
import { COLUMN_NAMES, COLUMNS, type ColumnName, MAX_LENGTH, TABLE } from '../../user.ts'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'
import { hasCode, transaction } from './pool.ts'

/** An email as `emailKey` makes it: with the collation C, lower() changes ASCII letters only. */
export const FOLDED_EMAIL = 'lower(email collate "C")'

/** The indexes by name. That of the emails is unique, and decides who has one. */
const INDEXES: Record<string, string> = {
  users_email_ascii: `create unique index users_email_ascii on ${TABLE} (${FOLDED_EMAIL})`,
  users_session_id: `create index users_session_id on ${TABLE} (session_id)`,
  users_reset_token: `create index users_reset_token on ${TABLE} (reset_token)`,
}

/** The index of emails that earlier versions made: it also folds letters that are not ASCII. */
const OLD_INDEX = 'users_email'

/** No limit, for statements on a large table. */
const NO_TIMEOUT = { query_timeout: 2 ** 31 - 1 }

/** A column as CREATE TABLE and ALTER TABLE define it. */
function define(name: ColumnName): string {
  if (name === 'id') return 'id serial primary key'
  const { type, nullable } = COLUMNS[name]
  return `${name} ${type === 'integer' ? 'bigint' : `varchar(${MAX_LENGTH})`}${nullable ? '' : ' not null'}`
}

/**
 * Makes the table unless it is there; to one that the Python original or an earlier version made, it adds what is missing.
 * It looks first: on a complete table no right to change it is needed.
 * @throws {StoreError} says what is in the way, and what to do
 */
export async function prepareTable(pool: Pool): Promise<void> {
  const database = await pool.query<{ encoding: string }>(`select current_setting('server_encoding') as encoding`)
  const encoding = database.rows[0]?.encoding
  if (encoding !== 'UTF8') throw new StoreError(`its encoding is ${encoding}; create one with UTF8`)
  const missing = await findMissing(pool)
  if (missing.length > 0) {
    try {
      await transaction(pool, complete)
    } catch (error) {
      throw (await findTwins(pool, error)) ?? new StoreError(`${messageOf(error)}${adviceFor(error, missing)}`)
    }
  }
  await checkRights(pool)
}

/** Runs what is missing. One process does it, as IF NOT EXISTS fails where two of them meet; the others wait. */
async function complete(client: PoolClient): Promise<void> {
  // An index on a large table takes its time.
  await client.query('set local statement_timeout = 0')
  const lock = `select pg_advisory_xact_lock(hashtext('${TABLE}'))`
  await client.query({ ...NO_TIMEOUT, text: lock })
  for (const text of await findMissing(client)) await client.query({ ...NO_TIMEOUT, text })
}

/** The statements that the table lacks. */
async function findMissing(client: Pool | PoolClient): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(`
    select attname::text as name from pg_attribute
      where attrelid = to_regclass('${TABLE}') and attnum > 0 and not attisdropped
    union all select relname::text from pg_index join pg_class on pg_class.oid = indexrelid
      where indrelid = to_regclass('${TABLE}') and indisvalid`)
  const names = new Set(rows.map(({ name }) => name))
  const columns = COLUMN_NAMES.filter((name) => !names.has(name)).map(define)
  const table =
    names.size === 0
      ? [`create table ${TABLE} (${columns.join(', ')})`]
      : columns.map((column) => `alter table ${TABLE} add column ${column}`)
  const indexes = Object.keys(INDEXES).filter((name) => !names.has(name))
  const old = names.has(OLD_INDEX) ? [`drop index ${OLD_INDEX}`] : []
  return [...table, ...indexes.map((name) => INDEXES[name] ?? ''), ...old]
}

/** The error for two users with one email, if that is what was in the way. */
async function findTwins(pool: Pool, error: unknown): Promise<StoreError | undefined> {
  if (!hasCode(error, '23505')) return undefined
  const { rows } = await pool.query<{ email: string; ids: string }>(`
    select ${FOLDED_EMAIL} as email, string_agg(id::text, ' and ' order by id) as ids from ${TABLE}
      group by 1 having count(*) > 1 order by min(id) limit 1`)
  const [twins] = rows
  return twins && new StoreError(`users ${twins.ids} have the same email, ${twins.email}; change or delete all but one`)
}

/** What to do about an error. */
function adviceFor(error: unknown, missing: string[]): string {
  return hasCode(error, '42501') ? `; let a role with the rights run: ${missing.join('; ')}` : ''
}

/** Throws unless the role may do all that the service does. */
async function checkRights(pool: Pool): Promise<void> {
  const sequence = `pg_get_serial_sequence('${TABLE}', 'id')`
  const { rows } = await pool.query<{ role: string; sequence: string | null; suffice: boolean }>(`
    select current_user::text as role, ${sequence} as sequence, has_table_privilege('${TABLE}', 'select')
      and has_table_privilege('${TABLE}', 'insert') and has_table_privilege('${TABLE}', 'update')
      and coalesce(has_sequence_privilege(${sequence}, 'usage'), true) as suffice`)
  const [rights] = rows
  if (rights === undefined || rights.suffice) return
  throw new StoreError(
    `the role ${rights.role} lacks rights; grant select, insert, update on ${TABLE} to ${rights.role}; ` +
      `grant usage on sequence ${rights.sequence} to ${rights.role}`,
  )
}
