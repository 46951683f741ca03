/** The tests of the store that start few programs or none. */
import '../db.test.ts'
import '../lib/db/crash.test.ts'
import '../lib/db/load.test.ts'
import '../lib/db/rows.test.ts'
import '../lib/db/table-file.test.ts'
import '../lib/db/table.test.ts'
