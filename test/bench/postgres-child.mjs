/**
 * What postgres.ts asks of the database itself: `postgres-child.mjs create|drop|fill|session|select [ARGUMENTS]`, with
 * DATABASE_URL in the environment; prints one line.
 */
import postgres from 'postgres'

const [, , command, ...rest] = process.argv
const sql = postgres(process.env.DATABASE_URL, { max: command === 'select' ? 10 : 1, onnotice: () => {} })
const commands = { create, drop, fill, session, select }
try {
  console.log(await commands[command](...rest))
} catch (error) {
  console.error(`PostgreSQL, ${command}: ${error.code ?? ''} ${error.message}`)
  process.exitCode = 1
}
await sql.end()

/** Makes the database, instead of one that an earlier run left behind. */
async function create(name) {
  await drop(name)
  await sql`CREATE DATABASE ${sql(name)}`
  return name
}

/** Drops the database. */
async function drop(name) {
  await sql`DROP DATABASE IF EXISTS ${sql(name)} WITH (FORCE)`
  return name
}

/** Adds users to the service's table. */
async function fill(users) {
  await sql`
    INSERT INTO users (email, hashed_password)
    SELECT 'filler' || i || '@example.com', ${`$2b$04$${'a'.repeat(53)}`} FROM generate_series(1, ${users}::integer) AS i`
  await sql`ANALYZE users`
  return users
}

/** The session ID of a user, as the table has it. */
async function session(email) {
  const [row] = await sql`SELECT session_id FROM users WHERE email = ${email}`
  return row.session_id
}

/** Bare selects of one row per second. */
async function select(sessionId, clients, seconds) {
  const began = performance.now()
  let count = 0
  async function client() {
    for (; performance.now() - began < Number(seconds) * 1000; count++) {
      const rows = await sql`SELECT * FROM users WHERE session_id = ${sessionId}`
      if (rows.length !== 1) throw new Error('no such session')
    }
  }
  await Promise.all(Array.from({ length: Number(clients) }, client))
  return (count / (performance.now() - began)) * 1000
}
