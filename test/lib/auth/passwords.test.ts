import t from 'tap'
import { flawOf, Passwords } from '../../../lib/auth/passwords.ts'

/** 72 times "x", as older and other programs name the hash. */
const IMPORTED = ['2a', '2b', '2y'].map(
  (version) => `$${version}$04$QP//Yb3dpHaccyKuXXsUtuHusxHPD8vLCON3KczoZzMEph6ucpLGy`,
)

t.test('a hash is salted, and matches its password only', async (t) => {
  const passwords = new Passwords(5)
  const hashes = await Promise.all([passwords.hash('x'), passwords.hash('x')])
  for (const hash of hashes) {
    t.match(hash, /^\$2b\$05\$.{53}$/)
    t.equal(await passwords.verify('x', hash), true)
    t.equal(await passwords.verify('y', hash), false)
  }
  t.not(hashes[0], hashes[1])
  t.equal(await passwords.verify('x', 'not a hash'), false)
})

t.test('a hash of another cost is outdated, one of another version is not', async (t) => {
  for (const hash of IMPORTED) {
    t.equal(await new Passwords(5).verify('x'.repeat(72), hash), true)
    t.equal(new Passwords(4).isOutdated(hash), false)
    t.equal(new Passwords(5).isOutdated(hash), true)
  }
})

t.test('without a hash the answer is no, after the work of a check', async (t) => {
  const passwords = new Passwords(11)
  const began = performance.now()
  for (const password of ['', 'x', 'x'.repeat(80)]) t.equal(await passwords.verify(password), false)
  t.ok(performance.now() - began > 60, 'three checks at cost 11 take 300 ms on a fast machine')
})

t.test('the expected duration doubles with each step of the cost', async (t) => {
  t.equal(new Passwords(12).expectedDuration, 2 * new Passwords(11).expectedDuration)
})

t.test('what bcrypt would take for another password', async (t) => {
  t.equal(flawOf('é'.repeat(36)), null)
  t.equal(flawOf(`${'é'.repeat(36)}x`), 'is longer than 72 bytes')
  t.equal(flawOf('x\0'), 'contains a NUL character')
  t.equal(flawOf('x\udc00'), 'is not well-formed Unicode')
})
