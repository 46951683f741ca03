/** The log under real faults: full disks, and disks that fail to sync. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import '../../helper/jobs.ts'
import { needs, NEEDS_PRLIMIT } from '../../helper/disk.ts'
import { request } from '../../helper/http.ts'
import { type RunningServer, startServer, tempDir } from '../../helper/program.ts'
import { emailsIn, row, stored, table, writeStore } from '../../helper/store.ts'

const NEEDS_STRACE = needs('strace', 'true')

const register = (server: RunningServer, email: string) =>
  request(`${server.url}/users`, 'POST', { email, password: 'p' })

t.test('while its files may not grow, as on a full disk, writes get 503 and reads go on', NEEDS_PRLIMIT, async (t) => {
  const path = `${tempDir(t)}/users.json`
  // node ignores the signal for a file over the limit by itself, but not where tap measures coverage.
  const ignore = '--import=data:text/javascript,process.on("SIGXFSZ",()=>{})'
  const server = await startServer(t, { DATABASE_URL: `file:${path}` }, [ignore])
  const limit = (bytes: string) => spawnSync('prlimit', ['--pid', `${server.child.pid}`, `--fsize=${bytes}:unlimited`])
  limit('100000')
  const acknowledged: string[] = []
  const failed: string[] = []
  for (let i = 0; failed.length === 0; i += 40) {
    const emails = Array.from({ length: 40 }, (_, k) => `${'x'.repeat(200)}${i + k}@me.com`)
    const answers = await Promise.all(emails.map((email) => register(server, email)))
    answers.forEach(({ status, body, headers }, k) => {
      if (status === 200) return acknowledged.push(emails[k] ?? '')
      t.match(body, { message: 'the store is not available' })
      t.equal(status, 503)
      t.equal(headers.get('retry-after'), '1')
      return failed.push(emails[k] ?? '')
    })
  }
  t.match(await request(server.url, 'GET'), { status: 200 })
  const known = { email: acknowledged[0] ?? '', password: 'p' }
  t.match(await register(server, known.email), { status: 400 }, 'reads go on')
  t.match(readFileSync(`${path}-wal`, 'utf8'), /(^|\n)$/, 'nothing half-written')
  limit('unlimited')
  t.match(await register(server, failed[0] ?? ''), { status: 200 })
  t.match(await request(`${server.url}/sessions`, 'POST', known), { status: 200 })
  t.equal(await server.stop(), 0)
  t.strictSame(emailsIn(path).sort(), [...acknowledged, failed[0]].sort())
  t.strictSame(
    stored(path).map(({ id }) => id),
    stored(path).map((_, i) => i + 1),
    'what failed has used up no id',
  )
})

/** Has strace tamper with a system call of a server from now on; returns a function that ends this. */
async function inject(
  server: RunningServer,
  call: string,
  how: string,
): Promise<(end?: NodeJS.Signals) => Promise<void>> {
  const { pid } = server.child
  const args = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${call}:${how}`, '-p', `${pid}`]
  const strace = spawn('strace', args, { stdio: 'ignore' })
  function isTraced(task: string): boolean {
    try {
      return !/^TracerPid:\t0$/m.test(readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8'))
    } catch {
      // This thread has ended meanwhile.
      return true
    }
  }
  while (!readdirSync(`/proc/${pid}/task`).every(isTraced)) await new Promise((resolve) => setTimeout(resolve, 10))
  return async (end) => {
    strace.kill(end)
    await once(strace, 'close')
  }
}

t.test('while a sync hangs, /healthz answers 503', NEEDS_STRACE, async (t) => {
  const server = await startServer(t, { DATABASE_URL: `file:${tempDir(t)}/users.json` })
  const mend = await inject(server, 'fdatasync', 'delay_enter=20000000')
  const late = register(server, 'a@b')
  // Nothing is written until the password is hashed.
  while ((await request(`${server.url}/healthz`, 'GET')).status !== 503);
  t.match(await request(server.url, 'GET'), { status: 200 })
  await mend('SIGKILL')
  t.match(await late, { status: 200 })
  t.match(await request(`${server.url}/healthz`, 'GET'), { status: 200 }, 'and 200 once it goes on')
})

// strace counts each thread's calls separately, hence a single thread where `when` says which call fails.
t.test('a sync that finds no room, as on btrfs or NFS, counts as a failed write: 503', NEEDS_STRACE, async (t) => {
  const path = `${tempDir(t)}/users.json`
  const server = await startServer(t, { DATABASE_URL: `file:${path}`, UV_THREADPOOL_SIZE: '1' })
  t.match(await register(server, 'before@me.com'), { status: 200 })
  const mend = await inject(server, 'fdatasync', 'error=ENOSPC:when=1')
  t.match(await register(server, 'refused@me.com'), { status: 503 })
  await mend()
  t.match(await register(server, 'after@me.com'), { status: 200 })
  t.match(server.stderr, /^cannot write \S+users.json-wal: ENOSPC/m)
  t.equal(await server.stop(), 0)
  t.strictSame(emailsIn(path), ['before@me.com', 'after@me.com'])
})

t.test('when a sync of the log fails, the process says so and ends; nobody is told 200', NEEDS_STRACE, async (t) => {
  const server = await startServer(t, { DATABASE_URL: `file:${tempDir(t)}/users.json` })
  await inject(server, 'fdatasync', 'error=EIO:when=1+')
  await t.rejects(register(server, 'a@b'))
  t.match(await server.exited, { code: 1 })
  t.match(server.stderr, /^cannot sync \S+users.json-wal: EIO.*; start again to continue with what is on the disk\n$/)
})

t.test('when a sync of the directory fails in a fold, the process says so and ends', NEEDS_STRACE, async (t) => {
  const server = await startServer(t, { DATABASE_URL: `file:${tempDir(t)}/users.json`, UV_THREADPOOL_SIZE: '1' })
  await inject(server, 'fsync', 'error=EIO:when=2+')
  t.match(await register(server, 'a@b'), { status: 200 })
  t.match(await server.exited, { code: 1 })
  t.match(server.stderr, /^cannot sync the directory of \S+users.json: EIO.*\n$/)
})

t.test('when a sync of the temporary table fails, the fold is tried again by itself', NEEDS_STRACE, async (t) => {
  const path = writeStore(t, { '': table(row(1)) })
  const server = await startServer(t, { DATABASE_URL: `file:${path}` })
  const mend = await inject(server, 'fsync', 'error=EIO:when=1+')
  t.match(await register(server, 'a@b'), { status: 200 })
  await server.printed(/^cannot fold \S+users.json-wal into the table, trying again later: \S+users.json-tmp-\S+: EIO/m)
  t.equal(readFileSync(path, 'utf8'), table(row(1)))
  await mend()
  while (!readFileSync(path, 'utf8').includes('a@b')) await new Promise((resolve) => setTimeout(resolve, 50))
  t.equal(await server.stop(), 0)
})
