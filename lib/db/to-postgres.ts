/** The command that moves a table file into a database. */
import { existsSync, realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'
import { FileAdapter } from './file-adapter.ts'
import { Postgres } from './postgres.ts'

/**
 * Carries all users of a table file into an empty database, with their ids, passwords and sessions; all or none.
 * @returns the number of users
 * @throws {StoreError} when the file cannot be read, or the database has users already
 */
export async function moveUsers(path: string, url: string): Promise<number> {
  if (![path, `${path}-wal`].some((file) => existsSync(file))) throw new StoreError(`${path}: no such file`)
  const openDatabase = Postgres.at(url)
  const file = await FileAdapter.open(path, () => {})
  try {
    const { all: users } = await file.read()
    const database = await openDatabase()
    try {
      await database.fill(users)
      return users.length
    } finally {
      await database.close()
    }
  } finally {
    await file.close()
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    const [path = '', url = ''] = process.argv.slice(2)
    console.log(`${await moveUsers(path, url)} users moved from ${path} into the database`)
  } catch (error) {
    console.error(messageOf(error))
    process.exitCode = 1
  }
}
