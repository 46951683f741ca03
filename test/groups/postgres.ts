/** The tests of the PostgreSQL engine. */
import './jobs.ts'
import '../lib/db/pool.test.ts'
import '../lib/db/postgres.test.ts'
import '../lib/db/schema.test.ts'
