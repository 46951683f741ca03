/** Tables and logs for the tests of the file store. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Test } from 'tap'
import { DB } from '../../db.ts'
import type { User } from '../../user.ts'
import { tempDir } from './program.ts'

/** A row with the columns that cannot be null, and any others that are given. */
export const row = (id: number, more = {}) => ({ id, email: `user${id}@me.com`, hashed_password: 'x', ...more })

/** A table as the service writes it, except for `last_id`. */
export const table = (...rows: object[]) => `{"users":[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]}\n`

/** A log with one batch per argument. */
export const log = (...batches: object[][]) => batches.map((batch) => `${JSON.stringify(batch)}\n`).join('')

/** Files by the end of their name, `''` for the table itself. */
type Files = Record<string, string | Uint8Array>

/** Writes the files of a store; returns the path of its table. */
export function writeStore(t: Test, files: Files, path = `${tempDir(t)}/users.json`): string {
  for (const [end, content] of Object.entries(files)) writeFileSync(path + end, content)
  return path
}

/** The rows of a table's file. */
export const stored = (path: string): User[] => JSON.parse(readFileSync(path, 'utf8')).users

/** The emails in a table's file, in the order of its rows. */
export const emailsIn = (path: string) => stored(path).map(({ email }) => email)

/** The names of all files in the directory of a table. */
export const filesAt = (path: string) => readdirSync(dirname(path)).sort()

/** The temporary files of a table: new versions of the table or, with `-wal`, of its log. */
export const temporaryFiles = (path: string, kind: '' | '-wal' = '') =>
  filesAt(path).filter((name) => name.startsWith(`${basename(path)}${kind}-tmp-`))

/** A DB that is closed at the end of the test. */
export function dbAt(t: Test, url: string): DB {
  const db = new DB(url)
  t.teardown(() => db.close())
  return db
}

/** Opens a store with these files; it is closed at the end of the test. */
export async function openWith(t: Test, files: Files, place?: string): Promise<{ db: DB; path: string }> {
  const path = writeStore(t, files, place)
  const db = dbAt(t, `file:${path}`)
  await db.open()
  return { db, path }
}

/**
 * The first lines of a script. They import `DB`, and call `react(call)`, which the script sets, right after each
 * `datasync` and `close` of a log, and each `rename` of a log or the table.
 */
export const REACT = `
  import fs from 'node:fs/promises'
  import { renameSync, rmSync, writeFileSync } from 'node:fs'
  import { dirname, join } from 'node:path'
  import { syncBuiltinESMExports } from 'node:module'
  const { open, rename } = fs
  let react = () => {}
  fs.open = async (path, flags, mode) => {
    const file = await open(path, flags, mode)
    if (flags === 'ax') for (const call of ['datasync', 'close']) {
      const method = file[call]
      file[call] = async () => {
        await method.call(file)
        react(call)
      }
    }
    return file
  }
  fs.rename = async (from, to) => {
    await rename(from, to)
    react('rename')
  }
  syncBuiltinESMExports()
  const { DB } = await import('./db.ts')
  const { temporaryFiles } = await import('./test/helper/store.ts')`
