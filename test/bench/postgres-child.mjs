/**
 * What postgres.ts asks of the database itself: `postgres-child.mjs create|drop|fill|session|select [ARGUMENTS]`, with
 * DATABASE_URL in the environment; prints one line.
 */
import pg from 'pg'

const [, , command, ...rest] = process.argv
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: command === 'select' ? 10 : 1 })
const commands = { create, drop, fill, session, select }
try {
  console.log(await commands[command](...rest))
} catch (error) {
  console.error(`PostgreSQL, ${command}: ${error.code ?? ''} ${error.message}`)
  process.exitCode = 1
}
await pool.end()

/** Makes the database, instead of one that an earlier run left behind. */
async function create(name) {
  await drop(name)
  await pool.query(`CREATE DATABASE ${name}`)
  return name
}

/** Drops the database. */
async function drop(name) {
  await pool.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
  return name
}

/** Adds users to the service's table. */
async function fill(users) {
  await pool.query(
    `INSERT INTO users (email, hashed_password)
       SELECT 'filler' || i || '@example.com', $1 FROM generate_series(1, $2::integer) AS i`,
    [`$2b$04$${'a'.repeat(53)}`, users],
  )
  await pool.query('ANALYZE users')
  return users
}

/** The session ID of a user, as the table has it. */
async function session(email) {
  const { rows } = await pool.query('SELECT session_id FROM users WHERE email = $1', [email])
  return rows[0].session_id
}

/** Bare selects of one row per second. */
async function select(sessionId, clients, seconds) {
  const began = performance.now()
  let count = 0
  async function client() {
    for (; performance.now() - began < Number(seconds) * 1000; count++) {
      const { rows } = await pool.query('SELECT * FROM users WHERE session_id = $1', [sessionId])
      if (rows.length !== 1) throw new Error('no such session')
    }
  }
  await Promise.all(Array.from({ length: Number(clients) }, client))
  return (count / (performance.now() - began)) * 1000
}
