/** The tests of the PostgreSQL engine. */
import '../helper/jobs.ts'
import '../lib/db/pool.test.ts'
import '../lib/db/postgres.test.ts'
import '../lib/db/schema.test.ts'
