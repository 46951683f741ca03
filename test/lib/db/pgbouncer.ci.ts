/** The store behind PgBouncer. */
import { spawn } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { DB } from '../../../db.ts'
import { needs } from '../../helper/disk.ts'
import { freePort } from '../../helper/http.ts'
import { createDatabase, NEEDS_POSTGRES } from '../../helper/postgres.ts'
import { tempDir } from '../../helper/program.ts'
import { started } from '../../helper/proxies.ts'

const NEEDS_PGBOUNCER = { skip: NEEDS_POSTGRES.skip || needs('pgbouncer', '--version').skip }

/** Starts a PgBouncer in transaction mode in front of the database of a URL; resolves with its URL. */
async function startPgBouncer(t: Test, url: string, setting = ''): Promise<string> {
  const { hostname, port, username, password } = new URL(url)
  const directory = tempDir(t)
  chmodSync(directory, 0o755)
  const pooled = Object.assign(new URL(url), { port: `${await freePort()}` })
  writeFileSync(`${directory}/users.txt`, `"${username}" "${password}"\n`)
  const ini = `[databases]
    * = host=${hostname} port=${port || 5432}
    [pgbouncer]
    listen_addr = 127.0.0.1
    listen_port = ${pooled.port}
    unix_socket_dir =
    auth_type = trust
    auth_file = ${directory}/users.txt
    pool_mode = transaction
    default_pool_size = 2
    ${setting}
  `
  writeFileSync(`${directory}/pgbouncer.ini`, ini.replaceAll(/^ +/gm, ''))
  // PgBouncer refuses to run as root.
  const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}
  const pooler = spawn('pgbouncer', [`${directory}/pgbouncer.ini`], { ...user, stdio: ['ignore', 'ignore', 'pipe'] })
  await started(t, pooler, /process up/)
  return pooled.href
}

t.test('through PgBouncer in transaction mode every answer is the right one', NEEDS_PGBOUNCER, async (t) => {
  const { url } = await createDatabase(t)
  const pooled = await startPgBouncer(t, url, 'ignore_startup_parameters = statement_timeout')
  const dbs = [new DB(pooled), new DB(pooled)]
  for (const db of dbs) t.teardown(() => db.close())
  const users = Array.from({ length: 20 }, (_, i) => ({ id: i + 1, email: `${i}@x`, session_id: `s${i}` }))
  for (const { id, email, session_id } of users) {
    await dbs[0]?.addUser(email, 'x')
    await dbs[0]?.updateUser(id, { session_id })
  }
  // Many statements at the same time, over more connections than PgBouncer has to the database.
  const ask = async (db: DB, { id, email, session_id }: (typeof users)[number]) => {
    for (let i = 0; i < 20; i++) {
      const update = db.updateUser(id, { reset_token: 'x' })
      const found = await Promise.all([db.findUserBy({ email }), db.findUserBy({ session_id }), update])
      if (found[0].id !== id || found[1].id !== id) throw new Error(`wrong row for ${email}`)
    }
  }
  await t.resolves(Promise.all(dbs.flatMap((db) => users.map((user) => ask(db, user)))))
})

t.test('when PgBouncer refuses a start-up parameter, the line says what to set', NEEDS_PGBOUNCER, async (t) => {
  const { url } = await createDatabase(t)
  const pooled = await startPgBouncer(t, url)
  await t.rejects(new DB(pooled).open(), {
    name: 'StoreError',
    message:
      'cannot open the database: unsupported startup parameter: statement_timeout; ' +
      'in PgBouncer, set ignore_startup_parameters = statement_timeout',
  })
})
