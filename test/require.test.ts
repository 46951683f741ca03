/** The classes in programs that are CommonJS: nothing that they import waits at its top level. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import t from 'tap'
import { ROOT, tempDir } from './helper/program.ts'

/** Whether this node runs TypeScript by itself. */
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const STRIPS_TYPES = major > 22 || (major === 22 && minor >= 18)

const PROGRAM = `
const { Auth } = require('${ROOT}auth.ts')
const { DB, NoResultFound } = require('${ROOT}db.ts')
new Auth({ databaseUrl: 'memory:', bcryptCost: 4 })
  .registerUser('a@b', 'x')
  .then(({ email }) => new DB('memory:').findUserBy({ email }))
  .catch((error) => console.log(error instanceof NoResultFound))
`

for (const [name, args] of [
  ['tsx', ['--import', import.meta.resolve('tsx')]],
  ...(STRIPS_TYPES ? [['node alone', []] as const] : []),
] as const) {
  t.test(`require() of auth.ts and db.ts, by ${name}`, async (t) => {
    const path = `${tempDir(t)}/program.cjs`
    writeFileSync(path, PROGRAM)
    // Compiled to CommonJS the code is laid out differently; merged with the modules' coverage it would spoil that.
    const env = { ...process.env, _TAPJS_PROCESSINFO_COVERAGE_: '0' }
    const { stdout, stderr, status } = spawnSync(process.execPath, [...args, path], { encoding: 'utf8', env })
    t.match({ stdout, status }, { stdout: 'true\n', status: 0 }, stderr)
  })
}
