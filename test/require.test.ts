/** CommonJS programs can require() the files: they and their imports await nothing at top level, and start nothing. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import t from 'tap'
import { ROOT, tempDir } from './helper/program.ts'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
/** Whether this node runs TypeScript by itself. */
const STRIPS_TYPES = major > 22 || (major === 22 && minor >= 18)

// If main.ts ran, it would print that there is no server at this address.
const PROGRAM = `
process.env.BASE_URL = 'http://127.0.0.1:1'
for (const name of ['main', 'server']) console.log(...Object.keys(require('${ROOT}' + name + '.ts')).sort())
const { Auth } = require('${ROOT}auth.ts')
const { DB, NoResultFound } = require('${ROOT}db.ts')
new Auth({ databaseUrl: 'memory:', bcryptCost: 4 })
  .registerUser('a@b', 'x')
  .then(({ email }) => new DB('memory:').findUserBy({ email }))
  .catch((error) => console.log(error instanceof NoResultFound))
`
const PRINTED = `logIn logInWrongPassword logOut profileLogged profileUnlogged registerUser resetPasswordToken run updatePassword
Webhook createService readConfig
true
`

for (const [name, args] of [
  ['tsx', ['--import', import.meta.resolve('tsx')]],
  ...(STRIPS_TYPES ? [['node alone', []] as const] : []),
] as const) {
  t.test(`require() returns what each file exports and starts nothing: ${name}`, async (t) => {
    const path = `${tempDir(t)}/program.cjs`
    writeFileSync(path, PROGRAM)
    // NODE_OPTIONS has tap's hooks. They keep node from stripping types, and would spoil the coverage, as code that is
    // compiled to CommonJS is laid out differently.
    const command = ['-u', 'NODE_OPTIONS', process.execPath, ...args, path]
    const { stdout, stderr, status } = spawnSync('env', command, { encoding: 'utf8' })
    t.strictSame({ stdout, stderr, status }, { stdout: PRINTED, stderr: '', status: 0 })
  })
}

t.test('other packages can import it by its exports', async (t) => {
  for (const name of ['auth', 'db', 'server', 'user']) {
    t.equal(import.meta.resolve(`user-authentication-service/${name}`), new URL(`../${name}.ts`, import.meta.url).href)
  }
})
