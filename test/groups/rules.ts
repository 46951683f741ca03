/** The tests of the rules of authentication, and of the project's layout. */
import '../auth.test.ts'
import '../layers.test.ts'
import '../lib/auth/failed-logins.test.ts'
import '../lib/auth/hash-queue.test.ts'
import '../lib/auth/input.test.ts'
import '../lib/auth/options.test.ts'
import '../lib/auth/passwords.test.ts'
import '../user.test.ts'
