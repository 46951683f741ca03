/** The child process of store.ts with better-sqlite3: `sqlite-child.mjs PATH USERS`; answers messages with figures. */
import { randomInt, randomUUID } from 'node:crypto'
import Database from 'better-sqlite3'

const [, , path, users] = process.argv
const database = new Database(path)
database.pragma('journal_mode = WAL')
database.pragma('synchronous = FULL')
database.exec(`
  CREATE TABLE users (
    id INTEGER PRIMARY KEY, email VARCHAR(250) NOT NULL UNIQUE, hashed_password VARCHAR(250) NOT NULL,
    session_id VARCHAR(250), reset_token VARCHAR(250), session_expires_at INTEGER, reset_expires_at INTEGER);
  CREATE INDEX users_session_id ON users (session_id);
  CREATE INDEX users_reset_token ON users (reset_token)`)
const insert = database.prepare('INSERT INTO users (id, email, hashed_password) VALUES (?, ?, ?)')
database.transaction(() => {
  for (let id = 1; id <= Number(users); id++) insert.run(id, `user${id}@example.com`, `$2b$12$${'a'.repeat(53)}`)
})()
const update = database.prepare('UPDATE users SET session_id = ? WHERE id = ?')

process.on('message', ({ milliseconds = 0 }) => {
  const began = performance.now()
  let count = 0
  for (; performance.now() - began < milliseconds; count++) update.run(randomUUID(), randomInt(1, Number(users) + 1))
  process.send({ rate: (count / (performance.now() - began)) * 1000 })
})
