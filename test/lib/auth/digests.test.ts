import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { _generateUuid, Auth } from '../../../auth.ts'
import { digest, SessionDigests } from '../../../lib/auth/digests.ts'

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

/** How much memory a job leaves in use, in MB. */
function growth(job: () => void): number {
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  job()
  collectGarbage()
  return (process.memoryUsage().heapUsed - before) / 1e6
}

t.test('a digest is SHA-256 in hex, kept or not', async (t) => {
  const digests = new SessionDigests()
  const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
  t.equal(digest('abc'), abc)
  t.equal(digests.of('abc'), abc)
  digests.keep('abc', 'kept')
  t.equal(digests.of('abc'), 'kept')
  digests.keep('abc', 'another')
  t.equal(digests.of('abc'), 'kept')
})

t.test('the header that a session ID was cut out of does not stay in memory', async (t) => {
  const digests = new SessionDigests()
  const mb = growth(() => {
    for (let i = 0; i < 2000; i++) {
      const header = `session_id=${_generateUuid()}; ${'x'.repeat(16_000)}${i}`
      digests.keep(header.slice(11, 47), digest(`${i}`))
    }
  })
  t.ok(mb < 5, `${mb} MB`)
  t.equal(digests.of('x'), digest('x'), 'it was in use until now')
})

t.test('at most 10,000 are kept', async (t) => {
  const digests = new SessionDigests()
  const mb = growth(() => {
    for (let i = 0; i < 100_000; i++) digests.keep(_generateUuid(), digest(`${i}`))
  })
  t.ok(mb < 10, `${mb} MB`)
  t.equal(digests.of('x'), digest('x'), 'it was in use until now')
})

t.test('a session that was found ends all the same', async (t) => {
  const auth = new Auth({ databaseUrl: 'memory:', bcryptCost: 4 })
  const { id } = await auth.registerUser('bob@me.com', 'right')
  const first = await auth.createSession('bob@me.com')
  t.match(await auth.getUserFromSessionId(first), { id })
  const second = await auth.createSession('bob@me.com')
  t.equal(await auth.getUserFromSessionId(first), null)
  t.match(await auth.getUserFromSessionId(second), { id })
  await auth.destroySession(id)
  t.equal(await auth.getUserFromSessionId(second), null)
})
