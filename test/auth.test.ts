import t from 'tap'
import { _generateUuid, _hashPassword, Auth, InvalidInput, ValueError } from '../auth.ts'

const OPTIONS = { databaseUrl: 'memory:', bcryptCost: 4, sessionTtl: 100, resetTtl: 100, loginFailures: 0 }

async function newAuth(options: Partial<typeof OPTIONS> = {}): Promise<Auth> {
  const auth = new Auth({ ...OPTIONS, ...options })
  await auth.open()
  return auth
}

t.test('_hashPassword: salted, cost 12 by default, nothing cut', async (t) => {
  const hashes = await Promise.all([_hashPassword('Hello Holberton'), _hashPassword('Hello Holberton')])
  for (const hash of hashes) t.match(hash, /^\$2b\$12\$.{53}$/)
  t.not(hashes[0], hashes[1])
  t.match(await _hashPassword('x', 5), /^\$2b\$05\$/)
  await t.rejects(_hashPassword('x'.repeat(73), 4))
})

t.test('_generateUuid: version 4', async (t) => {
  t.match(_generateUuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  t.not(_generateUuid(), _generateUuid())
})

t.test('registerUser and validLogin', async (t) => {
  const auth = await newAuth()
  const user = await auth.registerUser('Me@Me.com', 'mySecuredPwd')
  t.match(user, { id: 1, email: 'Me@Me.com', hashed_password: /^\$2b\$04\$/ })
  const taken = { name: 'ValueError', message: 'User me@me.com already exists' }
  await t.rejects(auth.registerUser('me@me.com', 'other'), taken)
  t.equal(await auth.validLogin('me@me.com', 'mySecuredPwd'), true)
  t.equal(await auth.validLogin('me@me.com', 'mySecuredPwd '), false)
  t.equal(await auth.validLogin('unknown@me.com', 'mySecuredPwd'), false)
})

t.test('of many registrations at once one wins', async (t) => {
  const auth = await newAuth()
  const tries = await Promise.allSettled(Array.from({ length: 20 }, () => auth.registerUser('a@b', 'x')))
  t.equal(tries.filter(({ status }) => status === 'fulfilled').length, 1)
  for (const one of tries) if (one.status === 'rejected') t.type(one.reason, ValueError)
})

t.test('what cannot be registered', async (t) => {
  const auth = await newAuth()
  for (const email of ['none', 'a b@c', 'a@b\n', '\u0000@b', '\u0085a@b', `${'x'.repeat(250)}@`]) {
    await t.rejects(auth.registerUser(email, 'x'), InvalidInput, JSON.stringify(email))
  }
  await t.rejects(auth.registerUser('a@b', 'é'.repeat(37)), InvalidInput)
  await auth.registerUser('a@b', 'é'.repeat(36))
  t.equal(await auth.validLogin('a@b', 'é'.repeat(36)), true)
  t.equal(await auth.validLogin('a@b', `${'é'.repeat(36)}x`), false, 'bcrypt alone would say yes')
})

t.test('sessions', async (t) => {
  const auth = await newAuth()
  const { id } = await auth.registerUser('a@b', 'x')
  t.equal(await auth.createSession('unknown@b'), null)
  const first = await auth.createSession('a@b')
  const second = await auth.createSession('A@B')
  t.equal(await auth.getUserFromSessionId(first), null, 'a new login replaces the older session')
  t.match(await auth.getUserFromSessionId(second), { id, email: 'a@b' })
  for (const nobody of [null, undefined, '', 'x']) t.equal(await auth.getUserFromSessionId(nobody), null)
  await auth.destroySession(id)
  t.equal(await auth.getUserFromSessionId(second), null)
})

t.test('reset tokens', async (t) => {
  const auth = await newAuth()
  await auth.registerUser('a@b', 'old')
  await t.rejects(auth.getResetPasswordToken('unknown@b'), ValueError)
  const replaced = await auth.getResetPasswordToken('a@b')
  const token = await auth.getResetPasswordToken('a@b')
  await t.rejects(auth.updatePassword(replaced, 'new'), ValueError)
  await t.rejects(auth.updatePassword(token, 'x'.repeat(73)), InvalidInput)
  const tries = await Promise.allSettled(['new', 'new', 'new'].map((password) => auth.updatePassword(token, password)))
  t.equal(tries.filter(({ status }) => status === 'fulfilled').length, 1, 'one use wins')
  for (const one of tries) if (one.status === 'rejected') t.type(one.reason, ValueError)
  t.equal(await auth.validLogin('a@b', 'new'), true)
  t.equal(await auth.validLogin('a@b', 'old'), false)
})

t.test('failed logins of any number of addresses: the latest are remembered, the oldest are forgotten', async (t) => {
  const auth = await newAuth({ loginFailures: 1 })
  const tooLong = 'x'.repeat(73)
  const fail = (address: string) => auth.validLogin('a@b', tooLong, { address })
  const failMany = async (network: number) => {
    for (let i = 0; i < 50_000; i++) await fail(`${network}.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)
  }
  t.equal(await fail('first'), false)
  await failMany(1)
  await t.rejects(fail('first'), { name: 'Error', message: /too many failed logins/ })
  await failMany(2)
  t.equal(await fail('first'), false, 'forgotten')
})
