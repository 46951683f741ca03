/** The table in PostgreSQL: made from the columns in user.ts, and completed where it is the Python original's. */
import type { Pool, PoolClient } from 'pg'
import { COLUMN_NAMES, COLUMNS, type ColumnName, isColumn, MAX_LENGTH, TABLE } from '../../user.ts'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'
import { hasCode, type LIMITS, transaction } from './pool.ts'

/** An email as `emailKey` has it: with the collation C, lower() changes ASCII letters only. */
export const EMAIL_KEY = 'lower(email collate "C")'

/** The indexes, each under a name that the database chooses. That of the emails decides who has one. */
const INDEXES = [
  `unique index on ${TABLE} (${EMAIL_KEY})`,
  `index on ${TABLE} (session_id)`,
  `index on ${TABLE} (reset_token)`,
]

/** The types that columns may have in the database. */
const TYPES = { integer: ['smallint', 'integer', 'bigint'], string: ['text', 'character varying'] }

/** No limit, for a statement that takes its time on a large table. */
const NO_LIMIT = { query_timeout: 2 ** 31 - 1 }

/** A column that the database has. */
type Found = {
  name: string
  type: string
  isTable: boolean
  isRequired: boolean
  isGiven: boolean
  isNumbered: boolean
}

/** A column as CREATE TABLE and ALTER TABLE define it. */
function define(name: ColumnName): string {
  if (name === 'id') return 'id serial primary key'
  const { type, nullable } = COLUMNS[name]
  return `${name} ${type === 'integer' ? 'bigint' : `varchar(${MAX_LENGTH})`}${nullable ? '' : ' not null'}`
}

/**
 * Makes the table unless it is there; to one that the Python original made, it adds what is missing. It looks first: on a
 * complete table no right to change it is needed, and somebody else's stays as it is.
 * @throws {StoreError} says what is in the way, and what to do
 */
export async function prepareTable(pool: Pool, { lockMs }: typeof LIMITS): Promise<void> {
  const database = await pool.query<{ encoding: string }>(`select current_setting('server_encoding') as encoding`)
  const encoding = database.rows[0]?.encoding
  if (encoding !== 'UTF8') throw new StoreError(`its encoding is ${encoding}; create one with UTF8`)
  const missing = await findMissing(pool)
  if (missing.length > 0) {
    try {
      await transaction(pool, (client) => complete(client, lockMs))
    } catch (error) {
      if (hasCode(error, '42501')) {
        throw new StoreError(`${messageOf(error)}; let a role with the rights run: ${missing.join('; ')}`)
      }
      throw (await findTwins(pool, error)) ?? (await findHolders(pool, error)) ?? error
    }
  }
  await checkRights(pool)
}

/** Runs what is missing. One process does it, as IF NOT EXISTS fails where two of them meet; the others wait. */
async function complete(client: PoolClient, lockMs: number): Promise<void> {
  await client.query('set local statement_timeout = 0')
  await client.query({ ...NO_LIMIT, text: `select pg_advisory_xact_lock(hashtext('${TABLE}'))` })
  await client.query(`set local lock_timeout = ${lockMs}`)
  for (const text of await findMissing(client)) await client.query({ ...NO_LIMIT, text })
}

/**
 * The statements that the table lacks.
 * @throws {StoreError} when the table is somebody else's
 */
async function findMissing(client: Pool | PoolClient): Promise<string[]> {
  const { rows: columns } = await client.query<Found>(`
    select attname::text as name, atttypid::regtype::text as type, relkind = 'r' as "isTable", attnotnull as "isRequired",
      atthasdef or attidentity <> '' as "isGiven",
      case attname when 'id' then pg_get_serial_sequence('${TABLE}', 'id') end is not null as "isNumbered"
    from pg_attribute join pg_class on pg_class.oid = attrelid
    where attrelid = to_regclass('${TABLE}') and attnum > 0 and not attisdropped`)
  if (columns.length === 0) {
    const table = `create table ${TABLE} (${COLUMN_NAMES.map(define).join(', ')})`
    return [table, ...INDEXES.map((index) => `create ${index}`)]
  }
  const reason = findForeign(columns)
  if (reason !== undefined) throw new StoreError(`its ${TABLE} is somebody else's: ${reason}; use another database`)
  const names = new Set(columns.map(({ name }) => name))
  const { rows: indexes } = await client.query<{ definition: string }>(
    `select pg_get_indexdef(indexrelid) as definition from pg_index where indrelid = to_regclass('${TABLE}') and indisvalid`,
  )
  const found = new Set(indexes.map(({ definition }) => indexKey(definition)))
  return [
    ...COLUMN_NAMES.filter((name) => !names.has(name)).map((name) => `alter table ${TABLE} add column ${define(name)}`),
    ...INDEXES.map((index) => `create ${index}`).filter((statement) => !found.has(indexKey(statement))),
  ]
}

/** What an index is on, whatever its name is and however the statement is written. */
function indexKey(statement: string): string {
  return statement
    .toLowerCase()
    .replace(/^(create (?:unique )?index )(?:.*? )?on .*?(?: using btree)? (?=\()/, '$1')
    .replace(/::text|[() ]/g, '')
}

/** Why a table is not one that the Python original or this service made. */
function findForeign(columns: Found[]): string | undefined {
  if (columns.some(({ isTable }) => !isTable)) return 'it is not a table'
  for (const name of ['id', 'email', 'hashed_password']) {
    if (!columns.some((column) => column.name === name)) return `it has no column ${name}`
  }
  for (const { name, type, isRequired, isGiven, isNumbered } of columns) {
    if (!isColumn(name)) {
      if (isRequired && !isGiven) return `its column ${name} is NOT NULL without a default`
      continue
    }
    const column = COLUMNS[name]
    if (!TYPES[column.type].includes(type)) return `its column ${name} is of type ${type}`
    if (column.nullable && isRequired) return `its column ${name} is NOT NULL`
    if (name === 'id' && !(isGiven && isNumbered)) return 'its column id is neither serial nor an identity'
  }
  return undefined
}

/** The error for two users with one email, if that is what was in the way. */
async function findTwins(pool: Pool, error: unknown): Promise<StoreError | undefined> {
  if (!hasCode(error, '23505')) return undefined
  const { rows } = await pool.query<{ email: string; ids: string }>(`
    select ${EMAIL_KEY} as email, string_agg(id::text, ' and ' order by id) as ids from ${TABLE}
      group by 1 having count(*) > 1 order by min(id) limit 1`)
  const [twins] = rows
  return twins && new StoreError(`users ${twins.ids} have the same email, ${twins.email}; change or delete all but one`)
}

/** The error for a lock on the table that was not to be had in time, if that is what was in the way. */
export async function findHolders(pool: Pool, error: unknown): Promise<StoreError | undefined> {
  if (!hasCode(error, '55P03')) return undefined
  const { rows } = await pool.query<{ pids: string | null }>(`
    select string_agg(distinct pid::text, ' and ') as pids from pg_locks join pg_stat_activity using (pid)
      where datname = current_database() and relation = to_regclass('${TABLE}') and granted`)
  const holder = `the database's process ${rows[0]?.pids ?? ''}`.trimEnd()
  return new StoreError(`${holder} holds a lock on ${TABLE}; end it, or try again when it has ended`)
}

/** Throws unless the role may do all that the service does. An identity needs no right on its sequence. */
async function checkRights(pool: Pool): Promise<void> {
  const { rows } = await pool.query<{ role: string; sequence: string; suffice: boolean }>(`
    select current_user::text as role, sequence, has_table_privilege('${TABLE}', 'select')
      and has_table_privilege('${TABLE}', 'insert') and has_table_privilege('${TABLE}', 'update')
      and (attidentity <> '' or has_sequence_privilege(sequence, 'usage')) as suffice
    from pg_attribute, pg_get_serial_sequence('${TABLE}', 'id') as sequence
    where attrelid = to_regclass('${TABLE}') and attname = 'id'`)
  const [rights] = rows
  if (rights === undefined || rights.suffice) return
  throw new StoreError(
    `the role ${rights.role} lacks rights; grant select, insert, update on ${TABLE} to ${rights.role}; ` +
      `grant usage on sequence ${rights.sequence} to ${rights.role}`,
  )
}
