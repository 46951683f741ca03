/** The tests that start programs, except those of the store. */
import '../helper/jobs.ts'
import '../embedding.test.ts'
import '../lib/server/start.test.ts'
import '../lib/server/stop.test.ts'
import '../main.test.ts'
import '../readme.test.ts'
import '../require.test.ts'
