/** The command that moves the users of a table file into a database. */
import { existsSync, realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { PoolClient } from 'pg'
import { TABLE, type User } from '../../user.ts'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'
import { FileAdapter } from './file-adapter.ts'
import { transaction } from './pool.ts'
import { NAMES, poolAt } from './postgres.ts'

/**
 * Copies all users of a table file into an empty database, with their ids, passwords and sessions; all or none.
 * @returns the number of users
 * @throws {StoreError} when the file cannot be read, or the database has users already
 */
export async function moveUsers(path: string, url: string): Promise<number> {
  if (![path, `${path}-wal`].some((file) => existsSync(file))) throw new StoreError(`${path}: no such file`)
  const openPool = poolAt(url)
  const file = await FileAdapter.open(path)
  try {
    const { all: users, lastId } = await file.read()
    const pool = await openPool()
    await transaction(pool, (client) => fill(client, users, lastId)).finally(() => pool.end())
    return users.length
  } finally {
    await file.close()
  }
}

/** Adds rows unchanged to the table, if it is empty. Its next id will be above all that it or the file ever gave. */
async function fill(client: PoolClient, users: User[], lastId: number): Promise<void> {
  const { rowCount } = await client.query(`select from ${TABLE} limit 1`)
  if (rowCount !== 0) throw new StoreError('the database has users already; nothing was changed')
  for (let i = 0; i < users.length; i += 1000) {
    await client.query(
      `insert into ${TABLE} (${NAMES}) overriding system value
        select ${NAMES} from json_populate_recordset(null::${TABLE}, $1)`,
      [JSON.stringify(users.slice(i, i + 1000))],
    )
  }
  const text = `select setval(sequence, greatest(last, 1), last > 0)
    from cast(pg_get_serial_sequence('${TABLE}', 'id') as regclass) as sequence,
      greatest($1::bigint, pg_sequence_last_value(sequence)) as last`
  await client.query(text, [lastId])
}

const USAGE = 'usage: npm run to-postgres -- users.json postgres://USER:PASSWORD@HOST:5432/DATABASE'

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    const [path, url] = process.argv.slice(2)
    if (path === undefined || url === undefined) throw new Error(USAGE)
    console.log(`users moved from ${path} into the database: ${await moveUsers(path, url)}`)
  } catch (error) {
    console.error(messageOf(error))
    process.exitCode = 1
  }
}
