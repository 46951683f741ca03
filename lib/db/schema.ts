/** The table in PostgreSQL: created from the columns in user.ts, or completed if it is the Python original's. */
import type { Pool, PoolClient } from 'pg'
import { COLUMN_NAMES, COLUMNS, type ColumnName, isColumn, MAX_CHARS, TABLE } from '../../user.ts'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'
import { hasCode, type LIMITS, transaction } from './pool.ts'

/** `emailKey` in SQL: with the collation C, lower() changes ASCII letters only. */
export const EMAIL_KEY = 'lower(email COLLATE "C")'

/** The indexes, without names, as `findMissing` compares them. The unique one decides which user gets an email. */
const INDEXES = [
  `unique index on ${TABLE} (${EMAIL_KEY})`,
  `index on ${TABLE} (session_id)`,
  `index on ${TABLE} (reset_token)`,
]

/** The types that columns may have in the database. */
const TYPES = { integer: ['smallint', 'integer', 'bigint'], string: ['text', 'character varying'] }

/** No time limit in pg, for a statement that may take long on a large table. */
const NO_LIMIT = { query_timeout: 2 ** 31 - 1 }

type Found = Record<'name' | 'type', string> & Record<'isTable' | 'isRequired' | 'hasDefault' | 'hasSequence', boolean>

function define(name: ColumnName): string {
  if (name === 'id') return 'id serial primary key'
  const { type, nullable } = COLUMNS[name]
  return `${name} ${type === 'integer' ? 'bigint' : `varchar(${MAX_CHARS})`}${nullable ? '' : ' not null'}`
}

/**
 * Creates the table, or adds what is missing to one that the Python original made. It looks first: a complete table can
 * be used without the right to alter it, and one that another program made stays as it is.
 * @throws {StoreError} that says what is in the way, and what to do
 */
export async function prepareTable(pool: Pool, { lockMs, hangMs }: typeof LIMITS): Promise<void> {
  await refuseIf(pool, IS_NOT_UTF8)
  let missing: string[] = []
  try {
    await transaction(pool, async (client) => {
      // findMissing() compares types and indexes as PostgreSQL writes them by default, without quotation marks.
      await client.query('set local statement_timeout = 0; set local quote_all_identifiers = off')
      // The database ends the session of a process that hangs, so that the others need not wait for it.
      await client.query(`set local idle_in_transaction_session_timeout = ${hangMs}`)
      // One process at a time: even with IF NOT EXISTS, the statements can fail when two run them.
      await client.query({ ...NO_LIMIT, text: `select pg_advisory_xact_lock(hashtext('${TABLE}'))` })
      await client.query(`set local lock_timeout = ${lockMs}`)
      missing = await findMissing(client)
      for (const text of missing) await client.query({ ...NO_LIMIT, text })
    })
  } catch (error) {
    if (hasCode(error, '42501')) {
      throw new StoreError(`${messageOf(error)}; let a role with the rights run: ${missing.join('; ')}`)
    }
    // Two users have the same email, which the detail names.
    if (hasCode(error, '23505')) throw new StoreError(`${messageOf(error)}: ${Object(error).detail}`)
    if (hasCode(error, '55P03')) await refuseIf(pool, IS_LOCKED)
    throw error
  }
  await refuseIf(pool, LACKS_RIGHTS)
}

/** The statements that would complete the table, or create it; throws if another program made it. */
async function findMissing(client: PoolClient): Promise<string[]> {
  // The query omits a type's length, unless it is too short for a bcrypt hash (60) or a SHA-256 digest in hex (64): a
  // type with a length matches none of TYPES.
  const { rows: columns } = await client.query<Found>(`
    select attname::text as name, format_type(atttypid, case when atttypmod - 4 <
        case attname when 'email' then 0 when 'hashed_password' then 60 else 64 end then atttypmod end) as type,
      relkind = 'r' as "isTable", attnotnull as "isRequired",
      atthasdef or attidentity <> '' as "hasDefault",
      case attname when 'id' then pg_get_serial_sequence('${TABLE}', 'id') end is not null as "hasSequence"
    from pg_attribute join pg_class on pg_class.oid = attrelid
    where attrelid = to_regclass('${TABLE}') and attnum > 0 and not attisdropped`)
  const reason = findForeign(columns)
  if (reason !== undefined)
    throw new StoreError(
      `its table ${TABLE} was not made by this service or the original: ${reason}; use another database`,
    )
  // pg_get_indexdef waits for whoever has locked the whole table; only lock_timeout may end that wait.
  const { rows: indexes } = await client.query<{ index: string }>({
    ...NO_LIMIT,
    text: `select case when indisunique then 'unique ' else '' end
      || format('index on ${TABLE} (%s)', replace(pg_get_indexdef(indexrelid, 1, true), '::text', '')) as index
    from pg_index where indrelid = to_regclass('${TABLE}') and indisvalid and indpred is null and indnatts = 1`,
  })
  const has = (name: string) => columns.some((column) => column.name === name)
  const statements =
    columns.length === 0
      ? [`create table ${TABLE} (${COLUMN_NAMES.map(define).join(', ')})`]
      : COLUMN_NAMES.filter((name) => !has(name)).map((name) => `alter table ${TABLE} add column ${define(name)}`)
  const missingIndexes = INDEXES.filter((wanted) => !indexes.some(({ index }) => index === wanted))
  return [...statements, ...missingIndexes.map((index) => `create ${index}`)]
}

/** Why neither the Python original nor this service can have made a table; `undefined` if one of them can. */
function findForeign(columns: Found[]): string | undefined {
  if (columns.length === 0) return undefined
  if (columns.some(({ isTable }) => !isTable)) return 'it is not a table'
  for (const name of ['id', 'email', 'hashed_password']) {
    if (!columns.some((column) => column.name === name)) return `it has no column ${name}`
  }
  for (const { name, type, isRequired, hasDefault, hasSequence } of columns) {
    const column = isColumn(name) ? COLUMNS[name] : undefined
    if (column && !TYPES[column.type].includes(type)) return `its column ${name} is of type ${type}`
    if (name === 'id' && !(hasDefault && hasSequence)) return 'its column id is neither serial nor an identity'
    if (isRequired && (column?.nullable ?? !hasDefault)) return `its column ${name} is NOT NULL`
  }
  return undefined
}

/** Throws the message that a query returns, if it returns one. */
async function refuseIf(pool: Pool, query: string): Promise<void> {
  const { rows } = await pool.query<{ message: string }>(query)
  if (rows[0] !== undefined) throw new StoreError(rows[0].message)
}

const IS_NOT_UTF8 = `
  select format('its encoding is %s; create one with UTF8', encoding) as message
  from current_setting('server_encoding') as encoding where encoding <> 'UTF8'`

const IS_LOCKED = `
  select format('the database''s process %s holds a lock on ${TABLE}; end it, or try again when it has ended',
    string_agg(distinct pid::text, ' and ')) as message
  from pg_locks where relation = to_regclass('${TABLE}') and granted
    and database = (select oid from pg_database where datname = current_database())
  having count(*) > 0`

/** Returns a message unless the role may do all that the service does. An identity needs no right on its sequence. */
const LACKS_RIGHTS = `
  select format('the role %1$s lacks rights; grant select, insert, update on ${TABLE} to %1$s; '
    'grant usage on sequence %2$s to %1$s', current_user, sequence) as message
  from pg_attribute, pg_get_serial_sequence('${TABLE}', 'id') as sequence
  where attrelid = to_regclass('${TABLE}') and attname = 'id' and not (has_table_privilege('${TABLE}', 'select')
    and has_table_privilege('${TABLE}', 'insert') and has_table_privilege('${TABLE}', 'update')
    and (attidentity <> '' or has_sequence_privilege(sequence, 'usage')))`
