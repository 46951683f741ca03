import t from 'tap'
import { Auth, AUTH_OPTIONS } from '../../../auth.ts'

t.test('the bounds are allowed, and what is beyond them is not', async (t) => {
  for (const [name, option] of Object.entries(AUTH_OPTIONS)) {
    if (!('min' in option)) continue
    const { min, max } = option
    for (const value of [min, max]) t.match(new Auth({ [name]: value }).options, { [name]: value })
    for (const value of [min - 1, max + 1, min + 0.5, NaN, null, String(min)]) {
      // As a program in JavaScript may pass it.
      const options = Object({ [name]: value })
      t.throws(() => new Auth(options), { name: 'ValueError' }, `${name}=${value}`)
    }
  }
})

t.test('a wrong option is named, with its value and what is allowed', async (t) => {
  const all = 'databaseUrl, bcryptCost, sessionTtl, resetTtl, loginFailures, accountFailures, passwordMin'
  const urls = /expected file:PATH, memory: or postgres:\/\//
  for (const [options, message] of [
    [{ bcryptCost: 99 }, 'bcryptCost=99: expected an integer from 4 to 31'],
    [{ bcryptcost: 4 }, `unknown option bcryptcost=4: expected one of ${all}`],
    [{ databaseURL: 'postgres://me:secret@host/x' }, /^unknown option databaseURL='postgres:\/\/me:\*\*\*@host\/x'/],
    [{ databaseUrl: 'nonsense' }, new RegExp(`^databaseUrl='nonsense': ${urls.source}`)],
    [{ databaseUrl: 'mysql://me:secret@host' }, new RegExp(`^databaseUrl='mysql://me:\\*\\*\\*@host': ${urls.source}`)],
    [{ databaseUrl: 'postgres://h/?user=me&password=secret&max=x' }, /^databaseUrl=.*\?user=me&password=\*\*\*&max=x'/],
    [{ databaseUrl: 5 }, 'databaseUrl=5: expected a non-empty string'],
    ['file:users.json', "expected an object with options, got 'file:users.json'"],
    ['postgres://me:secret@host/x', "expected an object with options, got 'postgres://me:***@host/x'"],
    [null, 'expected an object with options, got null'],
    [{ databaseUrl: new URL('postgres://me:secret@host') }, 'databaseUrl=[object URL]: expected a non-empty string'],
    [{ databaseUrl: [['secret']] }, 'databaseUrl=[object Array]: expected a non-empty string'],
    [{ database: { password: 'secret' } }, `unknown option database=[object Object]: expected one of ${all}`],
  ] as const) {
    // As a program in JavaScript may pass it.
    t.throws(() => Reflect.construct(Auth, [options]), { name: 'ValueError', message })
  }
})
