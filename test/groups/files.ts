/** The tests of the file store that start programs. */
import '../lib/db/file-adapter.test.ts'
import '../lib/db/fold.test.ts'
import '../lib/db/kill.test.ts'
import '../lib/db/lock.test.ts'
import '../lib/db/log-file.test.ts'
