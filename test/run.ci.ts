import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { ROOT, tempDir } from './helper/program.ts'

t.jobs = 2

/** Starts a script of package.json in a new project with these files; `ended` resolves with what came of it. */
async function start(t: Test, files: Record<string, string>, script = 'test') {
  const project = tempDir(t)
  await mkdir(join(project, 'test/groups'), { recursive: true })
  await symlink(join(ROOT, 'node_modules'), join(project, 'node_modules'))
  await cp(join(ROOT, 'package.json'), join(project, 'package.json'))
  for (const name of ['run', 'coverage']) await cp(join(ROOT, `test/${name}.ts`), join(project, `test/${name}.ts`))
  for (const [name, source] of Object.entries(files)) await writeFile(join(project, name), source)
  // Without the variables by which tap talks to this test.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.includes('TAP')))
  const npm = spawn('npm', ['run', script], { cwd: project, env, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => npm.kill('SIGKILL'))
  const ended = Promise.all([once(npm, 'exit'), text(npm.stdout), text(npm.stderr)]).then(
    ([[code], stdout, stderr]) => ({ code, stdout, stderr }),
  )
  return { npm, ended, project }
}

t.test('a failure is printed with its file and line, and the last line gives the numbers', async (t) => {
  const { ended } = await start(t, {
    'test/groups/a.ts': `import t from 'tap'\nt.test('sums', async (t) => {\n  t.equal(1 + 1, 2)\n  t.equal(1 + 1, 3, 'wrong')\n})`,
    'test/groups/b.ts': `import t from 'tap'\nt.test('later', { skip: 'no time' }, async () => {})`,
  })
  const { code, stdout, stderr } = await ended
  t.equal(stderr, '')
  t.equal(code, 1)
  t.match(stdout, /^FAILED test\/groups\/a\.ts \(/m)
  t.match(stdout, /^ok     test\/groups\/b\.ts \(/m)
  t.match(stdout, /^test\/groups\/a\.ts:4:5 test\/groups\/a\.ts > sums > wrong\n/m)
  t.match(stdout, /\n1 passed, 1 failed, 1 skipped\n$/)
})

t.test('a function that no test calls fails the coverage', async (t) => {
  const { ended } = await start(
    t,
    {
      'code.ts': `export function used(): number {\n  return 1\n}\n\nexport function unused(): number {\n  return 2\n}\n`,
      'test/groups/a.ts': `import t from 'tap'\nimport { used } from '../../code.ts'\nt.equal(used(), 1)\n`,
    },
    'coverage',
  )
  const { code, stdout } = await ended
  t.equal(code, 1)
  t.match(stdout, /code\.ts .* [56]-7 /)
})

t.test('an interrupted run leaves no process behind', async (t) => {
  for (const [signal, expected] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const { npm, ended, project } = await start(t, {
      'test/groups/a.ts': `
        import { spawn } from 'node:child_process'
        import { writeFileSync } from 'node:fs'
        import t from 'tap'
        t.test('never ends', async () => {
          const child = spawn('sh', ['-c', 'trap "" TERM INT; while :; do sleep 1; done'])
          writeFileSync('pids', [process.pid, child.pid].join(' '))
          console.error('started')
          await new Promise(() => {})
        })`,
    })
    await once(npm.stderr, 'data')
    const pids = (await readFile(join(project, 'pids'), 'utf8')).split(' ').map(Number)
    t.equal(pids.length, 2)
    npm.kill(signal)
    t.equal((await ended).code, expected)
    // The system reaps them in its own time: a zombie no longer runs.
    const states = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => 'gone')))
    for (const state of states) t.match(state, /^gone$|\) Z /)
  }
})
