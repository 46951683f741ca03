/** One process owns a table: races (more in test/long/), kills, other containers, deleted lock files, full disks. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { DB, StoreError } from '../../../db.ts'
import { Lock } from '../../../lib/db/lock.ts'
import '../../helper/jobs.ts'
import { AS_NOBODY, LIMIT, needs, NEEDS_PRLIMIT, NEEDS_ROOT, smallDisk } from '../../helper/disk.ts'
import { request } from '../../helper/http.ts'
import { CHILD, hold, raceForLocks } from '../../helper/lock.ts'
import { commandOf, commandOfScript, Program, runScript, startServer, tempDir } from '../../helper/program.ts'
import { dbAt, emailsIn, filesAt, stored } from '../../helper/store.ts'

/** Takes a lock; the test fails if its heartbeat finds it lost. */
function take(t: Test, path: string): Lock {
  return Lock.take(path, (message) => t.fail(message))
}

/** True if a lock is lost. */
function isLost(lock: Lock): boolean {
  try {
    lock.check()
    return false
  } catch (error) {
    return error instanceof StoreError && /has lost its table/.test(error.message)
  }
}

t.test('a lock has one owner at a time', async (t) => {
  const path = `${tempDir(t)}/lock`
  const first = take(t, path)
  first.check()
  t.throws(() => take(t, path), {
    name: 'StoreError',
    message: `${path} is held by this process itself, by another DB; use that one, or close it first`,
  })
  first.check()
  first.release()
  t.notOk(existsSync(path))
  t.ok(isLost(first), 'a released lock is lost')
  const second = take(t, path)
  first.release()
  second.check()
  second.release()
  second.release()
  t.notOk(existsSync(path))
})

t.test('after a kill the next start works immediately, with a new file', async (t) => {
  const path = `${tempDir(t)}/lock`
  const killed = await hold(t, path)
  const refused = new Program(CHILD, {}, [], ['hold', path])
  t.match(await refused.exited, { code: 1 })
  const held = `is held by process ${killed.child.pid}; stop it first, or delete the lock if these files are a copy`
  t.equal(refused.stderr, `${path} ${held}\n`)
  copyFileSync(path, `${path}-copy`)
  t.throws(() => take(t, `${path}-copy`), { message: `${path}-copy ${held}` })
  rmSync(`${path}-copy`)
  take(t, `${path}-copy`).release()
  const { ino } = statSync(path)
  // Keeps the file open, so that the next one does not get its inode.
  const keepsInode = spawn('tail', ['-f', path])
  await once(keepsInode.stdout, 'data')
  await killed.stop('SIGKILL')
  const lock = take(t, path)
  t.not(statSync(path).ino, ino)
  keepsInode.kill()
  lock.release()
})

t.test('of many processes that take a lock at the same moment, one wins', (t) => raceForLocks(t, 40))

t.test('a process that lost the race does not get the lock when the winner ends', async (t) => {
  const path = `${tempDir(t)}/lock`
  const owner = await hold(t, path)
  const claim = JSON.parse(readFileSync(path, 'utf8').trim())
  await owner.stop('SIGKILL')
  // The file after a race that was lost by this process, which is still running.
  const loser = take(t, `${path}2`)
  const lost = JSON.parse(readFileSync(`${path}2`, 'utf8').trim())
  loser.release()
  writeFileSync(path, [claim, lost].map((line) => JSON.stringify(line)).join('\n'))
  t.throws(() => take(t, path), { message: /held by this process itself/ })
  writeFileSync(path, [claim, lost, { withdrawn: lost.id }].map((line) => JSON.stringify(line)).join('\n'))
  take(t, path).release()
})

t.test('an owner elsewhere counts as dead when its last heartbeat is ten seconds off', async (t) => {
  const path = `${tempDir(t)}/lock`
  const claim = JSON.stringify({ id: 'x', pid: 1, started: '1', place: 'other-host boot 1' })
  const elsewhere = 'in another container or on another machine (other-host)'
  const message = `${path} is held by process 1 ${elsewhere}; stop it first, or wait 10 seconds if it has died`
  for (const [seconds, isValid] of [
    [0, true],
    [-8, true],
    [8, true],
    [-11, false],
    [3600, false],
  ] as const) {
    // Torn lines, and JSON that is not a claim, are ignored.
    writeFileSync(path, `torn {\nnull\n1\n{"id":"x"}\n{"place":5}\n${claim}\n{"pid":`)
    utimesSync(path, Date.now() / 1000 + seconds, Date.now() / 1000 + seconds)
    if (isValid) t.throws(() => take(t, path), { message }, `${seconds} s`)
    else take(t, path).release()
  }
})

const OTHER_TIME = ['unshare', '--time', '--boottime', '1000', '--fork', '--kill-child']
const NEEDS_OTHER_TIME = needs('env', ...OTHER_TIME, 'true')

t.test('an owner keeps its lock against a process in another time namespace', NEEDS_OTHER_TIME, async (t) => {
  const path = `${tempDir(t)}/lock`
  const lock = take(t, path)
  // Not spawnSync, which would stop the heartbeat of this process.
  const other = new Program(CHILD, {}, [], ['hold', path], OTHER_TIME)
  t.match(await other.exited, { code: 1 })
  const held = `^${path} is held by process ${process.pid} in another container or on another machine`
  t.match(other.stderr, new RegExp(held))
  lock.check()
  lock.release()
})

t.test('a process that has got the id of a dead owner is not the owner', async (t) => {
  const path = `${tempDir(t)}/lock`
  const lock = take(t, `${path}2`)
  const mine = JSON.parse(readFileSync(`${path}2`, 'utf8').trim())
  lock.release()
  writeFileSync(path, JSON.stringify({ ...mine, started: '1' }))
  take(t, path).release()
})

t.test('the owner notices that its lock was deleted, replaced or overwritten', async (t) => {
  const path = `${tempDir(t)}/lock`
  const owner = await hold(t, path)
  rmSync(path)
  const lock = take(t, path)
  t.match(await owner.exited, { code: 1 }, 'by its heartbeat')
  t.equal(
    owner.stderr,
    `${path} was deleted or overwritten, or another process has it by now: this process has lost its table; ` +
      'make sure that only one process uses it, and start again\n',
  )
  lock.check()
  rmSync(path)
  t.ok(isLost(lock))
  writeFileSync(path, 'of another')
  t.ok(isLost(lock))
  lock.release()
  t.equal(readFileSync(path, 'utf8'), 'of another')
  rmSync(path)
  const emptied = take(t, path)
  writeFileSync(path, '')
  t.ok(isLost(emptied))
  const next = take(t, path)
  t.ok(isLost(emptied), 'both have the same file')
  emptied.release()
  next.check()
  next.release()
})

const NEEDS_CHATTR = needs('sh', '-c', 'f=$(mktemp) && chattr +i $f && chattr -i $f && rm $f')

t.test('an owner whose heartbeat fails says so and ends', NEEDS_CHATTR, async (t) => {
  const path = `${tempDir(t)}/lock`
  const owner = await hold(t, path)
  // Now not even root may touch it.
  spawnSync('chattr', ['+i', path])
  t.teardown(() => spawnSync('chattr', ['-i', path]))
  t.match(await owner.exited, { code: 1 })
  t.match(owner.stderr, new RegExp(`^cannot keep the lock ${path}: EPERM[^\n]*\n$`))
  spawnSync('chattr', ['-i', path])
})

t.test('a lock that cannot be written is not taken', async (t) => {
  const directory = tempDir(t)
  t.throws(() => take(t, `${directory}/no/such/lock`), { code: 'ENOENT' })
  writeFileSync(`${directory}/file`, '')
  t.throws(() => take(t, `${directory}/file/lock`), { code: 'ENOTDIR' })
})

const { disk: directory, options } = smallDisk(t, '64k')

t.test('on a full disk no lock is taken, and nothing is left behind', options, async (t) => {
  const ballast = `${directory}/ballast`
  t.throws(() => writeFileSync(ballast, 'x'.repeat(100_000)), { code: 'ENOSPC' })
  t.throws(() => take(t, `${directory}/lock`), { code: 'ENOSPC' })
  writeFileSync(ballast, '')
  take(t, `${directory}/lock`).release()
  t.strictSame(readdirSync(directory), ['ballast'])
})

t.test('a claim that a full disk has torn does not count', NEEDS_PRLIMIT, async (t) => {
  const path = `${tempDir(t)}/lock`
  const child = runScript(`
    ${LIMIT}
    import { statSync } from 'node:fs'
    import { Lock } from './lib/db/lock.ts'
    const lock = Lock.take('${path}', () => {})
    const { size } = statSync('${path}')
    lock.release()
    for (const missing of [1, 2, 50]) {
      limit(size - missing)
      try {
        Lock.take('${path}', () => {})
      } catch (error) {
        console.log(error.message)
      }
      limit('unlimited')
      Lock.take('${path}', () => {}).release()
    }`)
  t.match(await child.exited, { code: 0 })
  t.equal(child.stderr, '')
  t.match(child.stdout, /^(EFBIG.*\n){3}$/)
})

t.test('a process that has lost a race withdraws its claim', async (t) => {
  const path = `${tempDir(t)}/lock`
  // The loser waits between reading the claims, of which there are none, and adding its own.
  const wait = `
    import fs from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    const { appendFileSync } = fs
    fs.appendFileSync = (...args) => {
      console.log('looked')
      while (!fs.existsSync('${path}-go'));
      appendFileSync(...args)
    }
    syncBuiltinESMExports()`
  const loser = new Program(CHILD, {}, [`--import=data:text/javascript,${encodeURIComponent(wait)}`], ['hold', path])
  await loser.printed(/looked/)
  const lock = take(t, path)
  writeFileSync(`${path}-go`, '')
  t.match(await loser.exited, { code: 1 })
  t.match(loser.stderr, `is held by process ${process.pid}`)
  const lines = readFileSync(path, 'utf8').trim().split('\n')
  const [winner, claim, last] = lines.map((line) => JSON.parse(line))
  t.match([winner, claim, last], [{ pid: process.pid }, { pid: loser.child.pid }, { withdrawn: claim.id }])
  t.equal(lines.length, 3)
  lock.check()
  lock.release()
})

t.test('a worker owns its lock until it ends or is terminated', async (t) => {
  const path = `${tempDir(t)}/lock`
  const worker = new Worker(
    `const { register } = await import('tsx/esm/api')
    register()
    const { Lock } = await import('./lib/db/lock.ts')
    const { parentPort } = await import('node:worker_threads')
    Lock.take(${JSON.stringify(path)}, () => {})
    parentPort.postMessage('taken')
    setInterval(() => {}, 1000)`.replace(/^/, 'void (async () => {') + '})()',
    { eval: true, execArgv: [] },
  )
  await once(worker, 'message')
  t.throws(() => take(t, path), { message: /is held by this process itself/ })
  const other = new Program(CHILD, {}, [], ['hold', path])
  t.match(await other.exited, { code: 1 })
  t.match(other.stderr, `${path} is held by process ${process.pid}; stop it first`)
  await worker.terminate()
  const heir = await hold(t, path)
  await heir.stop('SIGKILL')
  take(t, path).release()
})

t.test('a claim is withdrawn when a later step fails, or the lock cannot be removed', NEEDS_ROOT, async (t) => {
  const directory = tempDir(t)
  const path = `${directory}/lock`
  const killed = await hold(t, path)
  await killed.stop('SIGKILL')
  chownSync(path, 65534, 65534)
  chownSync(directory, 65534, 65534)
  const child = runScript(`${AS_NOBODY}
      import { chmodSync } from 'node:fs'
      import { Lock } from './lib/db/lock.ts'
      const take = () => Lock.take('${path}', () => {})
      const attempt = () => {
        try {
          take().release()
          console.log('taken')
        } catch (error) {
          console.log(error.message)
        }
      }
      // The dead owner's file has to be removed, which a read-only directory forbids.
      chmodSync('${directory}', 0o555)
      attempt()
      chmodSync('${directory}', 0o755)
      attempt()
      const lock = take()
      chmodSync('${directory}', 0o555)
      lock.release()
      attempt()
      chmodSync('${directory}', 0o755)
      attempt()
      setInterval(() => {}, 1000)`)
  t.teardown(() => child.stop('SIGKILL'))
  await child.printed(/(.*\n){4}/)
  const lines = child.stdout.trim().split('\n')
  t.match(lines[0], /^EACCES.*unlink/)
  t.strictSame(lines.slice(1), ['taken', 'taken', 'taken'])
  // The process whose attempt failed is still running.
  take(t, path).release()
})

const bound = tempDir(t)
chmodSync(bound, 0o777)
const NEEDS_BINDFS = needs(
  'bindfs',
  '--force-user=12',
  '--perms=a=rwX',
  '--chown-ignore',
  bound,
  bound,
  '-o',
  'nonempty',
)
t.teardown(() => NEEDS_BINDFS.skip === false && spawnSync('umount', ['-l', bound]))

t.test('a place where files may be written but not touched is refused at the start', NEEDS_BINDFS, async (t) => {
  const child = runScript(`${AS_NOBODY}
    import { Lock } from './lib/db/lock.ts'
    Lock.take('${bound}/lock', () => {})`)
  await child.exited
  t.match(child.stderr, /^\w*Error: EPERM/m)
})

const CONTAINER = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']
const NEEDS_CONTAINERS = needs('env', ...CONTAINER, 'true')

/** Starts a program in a container of its own; `signal` reaches the program itself. */
function startInContainer(t: Test, command: string[], env: Record<string, string> = {}) {
  const program = new Program(command, env, [], [], CONTAINER)
  t.teardown(() => program.stop('SIGKILL'))
  const signal = (name: NodeJS.Signals) => {
    const { pid } = program.child
    process.kill(Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')), name)
  }
  return { program, signal }
}

/** Sets the last heartbeat back by eleven seconds. */
function age(lock: string): void {
  const past = statSync(lock).mtimeMs / 1000 - 11
  utimesSync(lock, past, past)
}

t.test('an overtaken owner in another container acknowledges nothing', NEEDS_CONTAINERS, async (t) => {
  const path = `${tempDir(t)}/users.json`
  const env = { DATABASE_URL: `file:${path}`, HOST: '127.0.0.1', PORT: '0', BCRYPT_COST: '4', ACCESS_LOG: '0' }
  const { program: paused, signal } = startInContainer(t, commandOf('server.ts'), env)
  const [, url = ''] = await paused.printed(/istening on (http:\/\/\S+)/)
  const register = (url: string, email: string) => request(`${url}/users`, 'POST', { email, password: 'p' })
  t.match(await register(url, 'before@me.com'), { status: 200 })

  signal('SIGSTOP')
  // Touches the lock in the owner's place, however long the next one takes to start.
  const beat = setInterval(() => utimesSync(`${path}-lock`, new Date(), new Date()), 100)
  const next = new Program('server.ts', env)
  t.teardown(() => next.stop('SIGKILL'))
  t.match(await next.exited, { code: 1 }, 'not yet overtaken')
  clearInterval(beat)
  t.match(next.stderr, /users.json-lock is held by process 1 in another container or on another machine \(\S+\);/)
  age(`${path}-lock`)
  const owner = await startServer(t, env)
  t.match(await register(owner.url, 'new@me.com'), { status: 200 })

  const late = register(url, 'late@me.com').catch(() => 'no answer')
  signal('SIGCONT')
  t.equal(await late, 'no answer')
  t.match(await paused.exited, { code: 1 })
  t.match(paused.stderr, /^\S+users.json-lock was deleted or overwritten, or another process has it by now: [^\n]*\n$/)
  t.match(await register(owner.url, 'late@me.com'), { status: 200 }, 'the new owner goes on')
  t.equal(await owner.stop(), 0)
  t.strictSame(emailsIn(path), ['before@me.com', 'new@me.com', 'late@me.com'])
})

for (const [kind, mark] of Object.entries({ table: '-tmp', log: '-wal-tmp' })) {
  const title = `an owner in another container, paused right before renaming a ${kind} and overtaken, replaces nothing`
  t.test(title, NEEDS_CONTAINERS, async (t) => {
    const path = `${tempDir(t)}/users.json`
    // Waits right before the rename, in the thread that would do it next.
    const script = `
      import fs from 'node:fs'
      import { syncBuiltinESMExports } from 'node:module'
      const { rename } = fs.promises
      let isArmed = false
      fs.promises.rename = (from, to) => {
        if (isArmed && from.includes('users.json${mark}-')) {
          console.log('about to rename')
          while (!fs.existsSync('${path}-go'));
        }
        return rename(from, to)
      }
      syncBuiltinESMExports()
      const { DB } = await import('./db.ts')
      const db = new DB('file:${path}')
      await db.addUser('before@me.com', 'x')
      isArmed = true
      setInterval(() => {}, 1000)`
    const { program: paused, signal } = startInContainer(t, commandOfScript(script))
    await paused.printed(/about to rename/)
    signal('SIGSTOP')
    age(`${path}-lock`)
    const heir = new DB(`file:${path}`)
    await heir.addUser('new@me.com', 'x')
    await heir.close()
    const next = dbAt(t, `file:${path}`)
    await next.updateUser(1, { session_id: 's' })
    writeFileSync(`${path}-go`, '')
    signal('SIGCONT')
    t.match(await paused.exited, { code: 1 })
    t.match(paused.stderr, /has lost its table/)
    await next.addUser('last@me.com', 'x')
    await next.close()
    t.strictSame(emailsIn(path), ['before@me.com', 'new@me.com', 'last@me.com'])
    t.match(stored(path)[0], { session_id: 's' })
    t.strictSame(filesAt(path), ['users.json', 'users.json-go'])
  })
}
