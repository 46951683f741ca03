import t from 'tap'
import { parseOptions } from '@node-rs/bcrypt'
import { BCRYPT_HASH, flawOf, Passwords, toNfc } from '../../../lib/auth/passwords.ts'

/** Hashes of 72 times "x", with each version that this or another program writes. */
const IMPORTED = ['2a', '2b', '2y'].map(
  (version) => `$${version}$04$QP//Yb3dpHaccyKuXXsUtuHusxHPD8vLCON3KczoZzMEph6ucpLGy`,
)

t.test('a hash of another cost is outdated, one of another version is not', async (t) => {
  for (const hash of IMPORTED) {
    t.equal(await new Passwords(4).verify('x'.repeat(72), hash), 'right')
    t.equal(await new Passwords(5).verify('x'.repeat(72), hash), 'outdated')
  }
})

t.test('BCRYPT_HASH matches exactly the hashes that bcrypt can read', async (t) => {
  const [, hash = ''] = IMPORTED
  const like = [...IMPORTED, hash.replace('2b', '2x'), hash.replace('$04', '$31'), `${hash.slice(0, -1)}.`]
  const ends = ['z', 'A', '1', '/', '', 'y\n', 'y ']
  const unlike = [...ends.map((end) => hash.slice(0, -1) + end), hash.replace('$04', '$03'), hash.replace('$04', '$32')]
  for (const one of like) {
    t.doesNotThrow(() => parseOptions(one), one)
    t.match(one, BCRYPT_HASH)
  }
  for (const one of [...unlike, hash.replace('2b', '2'), hash.replace('Yb3dpHaccyKuXXsUtu', 'Yb3dpHaccyKuXXsUtv')]) {
    t.throws(() => parseOptions(one), one)
    t.notMatch(one, BCRYPT_HASH)
  }
})

t.test('without a hash, or with one of another program, the answer is wrong, after as much work', async (t) => {
  const passwords = new Passwords(11)
  for (const stored of [undefined, '$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA']) {
    const began = performance.now()
    for (const password of ['', 'x', 'x'.repeat(80)]) t.equal(await passwords.verify(password, stored), 'wrong')
    t.ok(performance.now() - began > 60, 'three checks at cost 11 take 300 ms on a fast machine')
  }
})

t.test('the expected duration doubles with each step of the cost', async (t) => {
  t.equal(new Passwords(12).expectedDurationMs, 2 * new Passwords(11).expectedDurationMs)
})

t.test('a text that is too long in any form is not normalized, which can take quadratic time', async (t) => {
  const marks = 'a' + '\u0323\u0301'.repeat(4000)
  t.equal(toNfc(marks), marks)
  t.equal(flawOf(marks), 'is longer than 72 bytes')
  // NFC turns these 9 bytes into 3, and shortens no text to less than a third.
  t.equal(flawOf(toNfc('\u1112\u1161\u11ab'.repeat(24))), null)
  t.equal(flawOf(toNfc('\u1112\u1161\u11ab'.repeat(25))), 'is longer than 72 bytes')
})
