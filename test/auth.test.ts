import { hashSync } from '@node-rs/bcrypt'
import t from 'tap'
import {
  _generateUuid,
  _hashPassword,
  Auth,
  type AuthOptions,
  type Client,
  EmailTaken,
  InvalidInput,
  StoreError,
  TooManyFailures,
  UnknownEmail,
  UnknownToken,
  ValueError,
} from '../auth.ts'
import { DB, NoResultFound } from '../db.ts'
import { tempDir } from './helper/program.ts'
import { row, table, writeStore } from './helper/store.ts'

function newAuth(options: Partial<AuthOptions> = {}): Auth {
  return new Auth({ databaseUrl: 'memory:', bcryptCost: 4, ...options })
}

t.test('_hashPassword takes a cost, and refuses what bcrypt would cut off', async (t) => {
  t.match(await _hashPassword('x', 5), /^\$2b\$05\$/)
  await t.rejects(_hashPassword('x'.repeat(73), 4))
})

t.test('errors are told apart by class, and each is a ValueError with a message', async (t) => {
  for (const [error, message] of [
    [new EmailTaken('a@b'), 'User a@b already exists'],
    [new UnknownEmail('a@b'), 'User a@b does not exist'],
    [new UnknownToken(), 'no such reset token'],
    [new InvalidInput('password is missing'), 'password is missing'],
  ] as const) {
    t.type(error, ValueError)
    t.equal(error.message, message)
    t.equal(error.name, error.constructor.name)
  }
})

t.test('of many simultaneous registrations one wins', async (t) => {
  const auth = newAuth()
  const tries = await Promise.allSettled(Array.from({ length: 20 }, () => auth.registerUser('a@b', 'x')))
  t.equal(tries.filter(({ status }) => status === 'fulfilled').length, 1)
  for (const one of tries) if (one.status === 'rejected') t.type(one.reason, EmailTaken)
})

t.test('invalid emails and passwords are refused', async (t) => {
  const auth = newAuth({ passwordMin: 3 })
  for (const [email, message] of [
    ['', 'email is missing'],
    ['none', 'email has no @'],
    ['a b@c', 'email contains a space, a control or an invisible character'],
    ['a@b\n', 'email contains a space, a control or an invisible character'],
    ['a\u00a0@b', 'email contains a space, a control or an invisible character'],
    ['a\u200b@b', 'email contains a space, a control or an invisible character'],
    ['\ud800@b', 'email contains a space, a control or an invisible character'],
    [`${'x'.repeat(250)}@`, 'email is longer than 250 characters'],
  ] as const) {
    await t.rejects(auth.registerUser(email, 'xyz'), { name: 'InvalidInput', message }, JSON.stringify(email))
  }
  for (const [password, message] of [
    ['', 'password is missing'],
    ['😀😀', 'password is shorter than 3 characters'],
    ['é'.repeat(37), 'password is longer than 72 bytes'],
    ['x\0x', 'password contains a NUL character'],
    ['xy\ud800', 'password is not well-formed Unicode'],
  ] as const) {
    const invalid = { name: 'InvalidInput', message }
    await t.rejects(auth.registerUser('a@b', password), invalid, JSON.stringify(password))
    const asNew = { ...invalid, message: message.replace('password', 'new_password') }
    await t.rejects(auth.updatePassword('no token', password), asNew)
    await t.rejects(auth.changePassword(1, 'x', password), asNew)
  }
  t.equal(await auth.countUsers(), 0)
})

t.test('a password that bcrypt would take for another is wrong', async (t) => {
  const auth = newAuth()
  await auth.registerUser('a@b', 'é'.repeat(36))
  t.equal(await auth.validLogin('a@b', 'é'.repeat(36)), true)
  t.equal(await auth.validLogin('a@b', `${'é'.repeat(36)}x`), false, 'bcrypt reads 72 bytes')
  await auth.registerUser('c@d', 'x')
  t.equal(await auth.validLogin('c@d', 'x\0x'), false, 'bcrypt repeats a short one')
  await auth.registerUser('e@f', '\ufffd')
  t.equal(await auth.validLogin('e@f', '\ud800'), false, 'a lone surrogate would become U+FFFD')
})

t.test('an argument of the wrong type is refused, and the error names it', async (t) => {
  const auth = newAuth()
  await auth.registerUser('a@b', 'x')
  /** A value as an untyped program may pass it. */
  const untyped = (value: unknown) => JSON.parse(JSON.stringify(value))
  const refused = (message: string) => ({ name: 'ValueError', message })
  await t.rejects(auth.registerUser(untyped(5), 'x'), refused('email must be a string'))
  await t.rejects(auth.registerUser('a@b', untyped({})), refused('password must be a string'))
  await t.rejects(auth.registerUser('a@b', untyped(null)), { message: 'password is missing' })
  await t.rejects(auth.validLogin(untyped(null), 'x'), refused('email must be a string'))
  await t.rejects(auth.validLogin('a@b', untyped(5)), refused('password must be a string'))
  await t.rejects(auth.logIn('a@b', untyped(null)), refused('password must be a string'))
  await t.rejects(auth.createSession(untyped(null)), refused('email must be a string'))
  await t.rejects(auth.findUser(untyped([])), refused('email must be a string'))
  await t.rejects(auth.getResetPasswordToken(untyped(null)), refused('email must be a string'))
  await t.rejects(auth.getUserFromSessionId(untyped(5)), refused('sessionId must be a string'))
  for (const token of [null, 5, '', 'x']) {
    await t.rejects(auth.updatePassword(untyped(token), 'x'), UnknownToken)
  }
  await t.rejects(auth.updatePassword('x', 'x', untyped(null)), refused('email must be a string'))
  await t.rejects(auth.changePassword(untyped('1'), 'x', 'y'), refused('userId must be an integer'))
  await t.rejects(auth.changePassword(1, untyped(null), 'y'), refused('password must be a string'))
  await t.rejects(auth.changePassword(1, 'x', untyped(5)), refused('new_password must be a string'))
  await t.rejects(auth.validLogin('a@b', 'x', untyped(null)), refused('client must be an object'))
  await t.rejects(auth.validLogin('a@b', 'x', untyped({ address: 5 })), refused('client.address must be a string'))
  await t.rejects(auth.validLogin('a@b', 'x', untyped({ signal: {} })), refused('client.signal must be an AbortSignal'))
  await t.rejects(_hashPassword(untyped(5)), refused('password must be a string'))
  await t.rejects(_hashPassword('x', 3), refused('bcryptCost=3: expected an integer from 4 to 31'))
})

t.test('a new session replaces the older one, and destroySession ends it', async (t) => {
  const auth = newAuth()
  const { id } = await auth.registerUser('a@b', 'x')
  t.equal(await auth.createSession('unknown@b'), null)
  const first = await auth.createSession('a@b')
  const second = await auth.createSession('A@B')
  t.equal(await auth.getUserFromSessionId(first), null, 'a new login replaces the older session')
  t.match(await auth.getUserFromSessionId(second), { id, email: 'a@b' })
  for (const nobody of [null, undefined, '', 'x']) t.equal(await auth.getUserFromSessionId(nobody), null)
  for (const nobody of [2, -1, 0.5, NaN, JSON.parse('null'), JSON.parse('"x"')]) await auth.destroySession(nobody)
  t.match(await auth.getUserFromSessionId(second), { id }, 'only its own user ends it')
  await auth.destroySession(id)
  t.equal(await auth.getUserFromSessionId(second), null)
})

t.test('logOut ends the given session, and never one that begins at the same moment', async (t) => {
  const auth = newAuth()
  const { id } = await auth.registerUser('a@b', 'x')
  const session = await auth.createSession('a@b')
  t.match(await auth.logOut(session), { id })
  for (const nobody of [session, null, undefined, '', 'x']) t.equal(await auth.logOut(nobody), null)
  for (let turns = 0; turns < 30; turns++) {
    const old = await auth.createSession('a@b')
    const beginning = auth.createSession('a@b')
    for (let i = 0; i < turns; i++) await null
    await auth.logOut(old)
    t.match(await auth.getUserFromSessionId(await beginning), { id }, `${turns} turns later`)
  }
})

t.test('a user gets at most one mailed token a minute, even if the last one was used', async (t) => {
  const now = Math.floor(Date.now() / 1000)
  // The last two are from when RESET_TTL was a day, not an hour: their age is unknown, and they block no mail.
  const lastMails = [
    { secondsAgo: 30, ttl: 3600 },
    { secondsAgo: 62, ttl: 3600 },
    { secondsAgo: 30, ttl: 86_400 },
    { secondsAgo: 62, ttl: 86_400 },
  ].map(({ secondsAgo, ttl }, i) => row(i + 1, { reset_expires_at: now - secondsAgo + ttl }))
  const path = writeStore(t, { '': table(...lastMails) })
  const auth = newAuth({ databaseUrl: `file:${path}` })
  t.teardown(() => auth.close())
  const ask = async (email: string) => {
    const user = await auth.findUser(email)
    return user && auth.createMailToken(user)
  }
  t.equal(await ask('user1@me.com'), null)
  for (const id of [2, 3, 4]) t.type((await ask(`user${id}@me.com`))?.resetToken, 'string', `${id}`)
  const user = await auth.registerUser('a@b', 'old')
  const tries = await Promise.all(Array.from({ length: 5 }, () => auth.createMailToken({ ...user })))
  const [mailed, ...others] = tries.filter((one) => one !== null)
  t.strictSame(others, [])
  t.equal(await ask('a@b'), null)
  await auth.updatePassword(mailed?.resetToken ?? '', 'new')
  t.equal(await ask('a@b'), null, 'a used token counts')
  t.match(await auth.findUser('a@b'), { reset_token: null, reset_expires_at: mailed?.expiresAt })
})

t.test('a reset token works once, for its own user, unless a newer one has replaced it', async (t) => {
  const auth = newAuth()
  for (const email of ['a@b', 'c@d']) await auth.registerUser(email, 'old')
  const session = await auth.createSession('a@b')
  await t.rejects(auth.getResetPasswordToken('unknown@b'), UnknownEmail)
  const replaced = await auth.getResetPasswordToken('a@b')
  const token = await auth.getResetPasswordToken('a@b')
  await t.rejects(auth.updatePassword(replaced, 'new'), UnknownToken)
  await t.rejects(auth.updatePassword(token, 'x'.repeat(73)), InvalidInput)
  await t.rejects(auth.updatePassword(token, 'new', 'c@d'), UnknownToken, 'only with its own user’s email')
  const tries = await Promise.allSettled(['new', 'new', 'new'].map((one) => auth.updatePassword(token, one, 'A@B')))
  t.equal(tries.filter(({ status }) => status === 'fulfilled').length, 1, 'one use wins')
  for (const one of tries) if (one.status === 'rejected') t.type(one.reason, UnknownToken)
  await t.rejects(auth.updatePassword(token, 'newer'), UnknownToken, 'used')
  t.equal(await auth.getUserFromSessionId(session), null, 'a reset ends the session')
  t.equal(await auth.validLogin('a@b', 'new'), true)
  t.equal(await auth.validLogin('a@b', 'old'), false)
})

t.test('changePassword replaces the session and clears the reset token', async (t) => {
  const auth = newAuth({ loginFailures: 2 })
  const { id } = await auth.registerUser('a@b', 'old')
  const stolen = await auth.createSession('a@b')
  const token = await auth.getResetPasswordToken('a@b')
  t.equal(await auth.changePassword(id, 'wrong', 'new'), null)
  t.equal(await auth.changePassword(2, 'old', 'new'), null, 'no such user')
  t.match(await auth.getUserFromSessionId(stolen), { id }, 'nothing has changed yet')
  const session = await auth.changePassword(id, 'old', 'new')
  t.match(await auth.getUserFromSessionId(session), { id, reset_token: null })
  t.equal(await auth.getUserFromSessionId(stolen), null)
  await t.rejects(auth.updatePassword(token, 'newer'), UnknownToken)
  t.equal(await auth.validLogin('a@b', 'old'), false)
  t.equal(await auth.validLogin('a@b', 'new'), true)
  const tries = await Promise.all(['x', 'y', 'z'].map((password) => auth.changePassword(id, 'new', password)))
  t.equal(tries.filter((one) => one !== null).length, 1, 'of several simultaneous changes one wins')
})

t.test("a failed login counts for the address of its call, whatever becomes of the caller's object", async (t) => {
  const auth = newAuth({ loginFailures: 1 })
  const { id } = await auth.registerUser('a@b', 'x')
  const calls = [
    (client: Client) => auth.validLogin('a@b', 'wrong', client),
    (client: Client) => auth.logIn('a@b', 'wrong', client),
    (client: Client) => auth.changePassword(id, 'wrong', 'y', client),
  ]
  for (const [i, call] of calls.entries()) {
    const client = { address: `${i}` }
    const answer = call(client)
    client.address = 'another'
    t.notOk(await answer)
    await t.rejects(auth.validLogin('a@b', 'x', { address: `${i}` }), TooManyFailures)
  }
  t.equal(await auth.validLogin('a@b', 'x', { address: 'another' }), true)
})

t.test('a login at another cost rehashes the password', async (t) => {
  const path = `${tempDir(t)}/users.json`
  const slow = newAuth({ databaseUrl: `file:${path}`, bcryptCost: 5 })
  await slow.registerUser('a@b', 'x')
  await slow.close()
  const quick = newAuth({ databaseUrl: `file:${path}` })
  t.equal(await quick.validLogin('a@b', 'wrong'), false)
  t.match(await quick.findUser('a@b'), { hashed_password: /^\$2b\$05\$/ }, 'a wrong password does not')
  t.equal(await quick.validLogin('a@b', 'x'), true)
  t.match(await quick.findUser('a@b'), { hashed_password: /^\$2b\$04\$/ })
  t.equal(await quick.validLogin('a@b', 'x'), true)
  await quick.close()
})

t.test('a right password is right even if its new hash cannot be stored', async (t) => {
  const users = table(row(1, { email: 'a@b', hashed_password: hashSync('x', { cost: 5 }) }))
  const auth = newAuth({ databaseUrl: `file:${writeStore(t, { '': users })}` })
  t.teardown(() => auth.close())
  t.intercept(DB.prototype, 'updateUser', { value: () => Promise.reject(new StoreError('the disk is full')) })
  t.equal(await auth.validLogin('a@b', 'x'), true)
  t.equal(await auth.validLogin('a@b', 'wrong'), false)
  await t.rejects(auth.logIn('a@b', 'x'), StoreError)
})

t.test('a password that a reset has replaced during a rehash is not accepted if the store then fails', async (t) => {
  const users = table(row(1, { email: 'a@b', hashed_password: hashSync('x', { cost: 5 }) }))
  const auth = newAuth({ databaseUrl: `file:${writeStore(t, { '': users })}` })
  t.teardown(() => auth.close())
  t.intercept(DB.prototype, 'updateUser', {
    value() {
      t.intercept(DB.prototype, 'findUserBy', { value: () => Promise.reject(new StoreError('the database is gone')) })
      return Promise.reject(new NoResultFound())
    },
  })
  await t.rejects(auth.validLogin('a@b', 'x'), StoreError)
})

t.test('simultaneous right passwords are accepted just after the cost has changed', async (t) => {
  const users = table(row(1, { email: 'a@b', hashed_password: hashSync('x', { cost: 6 }) }))
  const path = writeStore(t, { '': users })
  for (const [bcryptCost, call] of [
    [4, (auth: Auth) => auth.logIn('a@b', 'x')],
    [5, (auth: Auth) => auth.validLogin('a@b', 'x')],
    // Networks take turns, so the two changes, to the same password, are made while most of the logins wait.
    [
      5,
      (auth: Auth, i: number) =>
        i < 8 ? auth.logIn('a@b', 'x') : auth.changePassword(1, 'x', 'x', { address: `${i}` }),
    ],
  ] as const) {
    const auth = newAuth({ databaseUrl: `file:${path}`, bcryptCost })
    const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => call(auth, i)))
    for (const answer of answers) t.ok(answer)
    await auth.close()
  }
})

t.test('a password is the same however its letters were composed', async (t) => {
  const [nfc, nfd] = ['\u00e9', 'e\u0301']
  const longAsNfc = '\u0958'.repeat(20)
  const hashes = [nfd, nfc, longAsNfc].map((password) => hashSync(password, { cost: 4 }))
  const path = writeStore(t, {
    '': table(...hashes.map((hash, i) => row(i + 1, { email: `${i}@b`, hashed_password: hash }))),
  })
  const auth = newAuth({ databaseUrl: `file:${path}`, loginFailures: 0 })
  t.teardown(() => auth.close())
  await auth.registerUser('new@b', nfd)
  for (const password of [nfc, nfd]) t.equal(await auth.validLogin('new@b', password), true)
  t.equal(await auth.validLogin('0@b', nfc), false, 'a hash of the other form, as another program may have made it')
  t.equal(await auth.validLogin('0@b', nfd), true, 'as it was typed')
  t.equal(await auth.validLogin('0@b', nfc), true, 'the login before has rehashed it')
  for (const password of [nfd, nfc]) t.equal(await auth.validLogin('1@b', password), true)
  t.equal(await auth.validLogin('2@b', longAsNfc), true, 'too long for bcrypt in its NFC form')
  t.match(await auth.findUser('2@b'), { hashed_password: hashes[2] })
  await t.rejects(auth.registerUser('long@b', longAsNfc), { message: 'password is longer than 72 bytes' })
  await auth.registerUser('long@b', 'e\u0301'.repeat(36))
  t.equal(await auth.validLogin('long@b', nfc.repeat(36)), true, '72 bytes are counted on the NFC form')
  const short = newAuth({ passwordMin: 2 })
  await t.rejects(short.registerUser('a@b', nfd), { message: 'password is shorter than 2 characters' })
})

t.test('users whose hash no password can match are counted', async (t) => {
  const hash = '$2b$12$eUDdeuBtrD41c8dXvzh95ehsWYCCAi4VH1JbESzgbgZT.eMMzi.G2'
  const foreign = [
    'pbkdf2_sha256$870000$x$y=',
    `{bcrypt}${hash}`,
    '$argon2id$v=19$m=65536',
    '',
    hash.slice(1),
    `${hash} `,
  ]
  const hashes = [hash, hash.replace('2b', '2a'), hash.replace('2b', '2y'), ...foreign]
  const path = writeStore(t, { '': table(...hashes.map((hashed_password, i) => row(i + 1, { hashed_password }))) })
  const auth = newAuth({ databaseUrl: `file:${path}` })
  t.teardown(() => auth.close())
  t.equal(await auth.countForeignHashes(), foreign.length)
})
