/** Owning a table: an owner that has lost it notices and ends; a DB that never owned it touches no file. */
import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { DB, StoreError } from '../../../db.ts'
import { FileAdapter } from '../../../lib/db/file-adapter.ts'
import { User, ValueError } from '../../../user.ts'
import '../../helper/jobs.ts'
import { AS_NOBODY, needs, NEEDS_ROOT, smallDisk } from '../../helper/disk.ts'
import { runScript, tempDir } from '../../helper/program.ts'
import { filesAt, log, openWith, REACT, row, stored, table, writeStore } from '../../helper/store.ts'

/** The files in the directory of a table, with their contents and inodes. */
const snapshot = (path: string) =>
  filesAt(path).map((name) => {
    const file = join(dirname(path), name)
    return [name, readFileSync(file, 'utf8'), statSync(file).ino]
  })

t.test('a DB that does not own its table touches no file, whatever is called', async (t) => {
  const { db: owner, path } = await openWith(t, { '': table(row(1)) })
  await owner.addUser('a@b', 'x')
  const before = snapshot(path)
  const other = new DB(`file:${path}`)
  await t.rejects(other.open(), { name: 'StoreError', message: /is held by this process itself/ })
  await t.rejects(other.addUser('c@d', 'x'), StoreError)
  await other.close()
  await other.close()
  await t.rejects(other.addUser('c@d', 'x'), StoreError)
  await new DB(`file:${path}`).close()
  t.strictSame(snapshot(path), before)
  await owner.open()
  await owner.close()
  const next = new DB(`file:${path}`)
  t.equal((await next.addUser('c@d', 'x')).id, 3)
  await owner.close()
  await t.rejects(owner.updateUser(1, {}), StoreError)
  t.equal((await next.addUser('e@f', 'x')).id, 4)
  await next.close()
  t.equal(stored(path).length, 4)
})

t.test('a closed adapter folds nothing', async (t) => {
  const path = writeStore(t, {})
  const adapter = await FileAdapter.open(path)
  const rows = await adapter.read()
  const user = new User(row(1))
  rows.add(user)
  await adapter.append(user, () => {})
  await adapter.close()
  t.equal(readFileSync(`${path}-wal`, 'utf8').split('\n').length, 2, 'not folded: the log stays')
  await adapter.write()
  t.strictSame(filesAt(path), ['users.json-wal'])
})

t.test('a fold that is due runs once, although more batches are written before it begins', async (t) => {
  const path = writeStore(t, {})
  const adapter = await FileAdapter.open(path)
  const rows = await adapter.read()
  const add = (id: number) => {
    const user = new User(row(id, { hashed_password: 'x'.repeat(250), reset_token: 'x'.repeat(250) }))
    rows.add(user)
    return adapter.append(user, () => {})
  }
  // Four batches; the second one makes the log as long as a fold needs.
  await Promise.all(Array.from({ length: 4000 }, (_, i) => add(i + 1)))
  await add(4001)
  await adapter.close()
  t.match(readFileSync(`${path}-wal`, 'utf8'), /^\[\{"id":4001,[^\n]+\n$/)
})

t.test('each call that is still running at the close is either stored or refused', async (t) => {
  const { db, path } = await openWith(t, {})
  const calls = Array.from({ length: 50 }, (_, i) => db.addUser(`user${i}@me.com`, 'x'))
  await new Promise(setImmediate)
  await db.close()
  const kept = (await Promise.allSettled(calls)).filter(({ status }) => status === 'fulfilled')
  t.equal(stored(path).length, kept.length)
})

t.test('an owner that has lost its lock, log or directory says so and ends; nothing is acknowledged', async (t) => {
  for (const [lose, message] of [
    ["rmSync(path + '-lock')", /^\S+users.json-lock was deleted [^\n]+\n$/],
    ["writeFileSync(path + '-lock', '')", /^\S+users.json-lock was deleted or overwritten[^\n]+\n$/],
    ["rmSync(path + '-wal')", /^\S+users.json-wal was deleted or replaced: [^\n]+\n$/],
    ["renameSync(dirname(path), dirname(path) + '-gone')", /^\S+users.json-lock was deleted [^\n]+\n$/],
    // The lock disappears while the next write is synced.
    ["react = (call) => call === 'datasync' && rmSync(path + '-lock')", /^\S+users.json-lock was deleted [^\n]+\n$/],
  ] as const) {
    const directory = `${tempDir(t)}/data`
    mkdirSync(directory)
    const child = runScript(`${REACT}
      const path = '${directory}/users.json'
      const db = new DB('file:' + path)
      await db.addUser('kept@me.com', 'x')
      ${lose}
      await db.addUser('lost@me.com', 'x')
      console.log('acknowledged')`)
    t.match(await child.exited, { code: 1 }, lose)
    t.equal(child.stdout, '')
    t.match(child.stderr, message)
    // Its log, which had the user, is gone.
    if (lose.includes('-wal')) continue
    const again = new DB(`file:${existsSync(directory) ? directory : `${directory}-gone`}/users.json`)
    t.match(await again.findUserBy({ email: 'kept@me.com' }), { id: 1 })
    await again.close()
  }
})

t.test('an owner that is overtaken while it closes does not remove the log of its successor', async (t) => {
  const path = writeStore(t, {})
  const child = runScript(`${REACT}
    const db = new DB('file:${path}')
    await db.open()
    react = () => {
      rmSync('${path}-lock')
      writeFileSync('${path}-of-another', 'of another')
      renameSync('${path}-of-another', '${path}-wal')
    }
    await db.close()`)
  await child.exited
  t.equal(readFileSync(`${path}-wal`, 'utf8'), 'of another')
})

t.test('an owner that loses its table in the middle of a fold reports nothing but that', async (t) => {
  const path = writeStore(t, {})
  const child = runScript(`${REACT}
    const db = new DB('file:${path}')
    await db.addUser('a@b', 'x')
    fs.open = (path, flags, mode) => {
      if (flags === 'wx') rmSync(dirname(path), { recursive: true })
      return open(path, flags, mode)
    }
    syncBuiltinESMExports()
    await db.close()`)
  t.match(await child.exited, { code: 1 })
  t.match(child.stderr, /^\S+users.json-lock was deleted[^\n]+\n$/)
})

t.test('a failed attempt to open does not keep the next one out', async (t) => {
  const path = writeStore(t, {})
  const child = runScript(`${REACT}
    const db = new DB('file:${path}')
    react = (call) => {
      if (call === 'datasync') for (const name of temporaryFiles('${path}', '-wal')) rmSync(join(dirname('${path}'), name))
    }
    await db.open().catch((error) => console.log(error.name, error.message))
    react = () => {}
    await db.addUser('a@b', 'x')
    await db.close()`)
  t.match(await child.exited, { code: 0 })
  t.match(child.stdout, /^StoreError cannot open \S+: ENOENT.* rename '\S+-wal-tmp-\S+ -> '\S+-wal'; .*\n$/)
  t.strictSame(filesAt(path), ['users.json'])
})

t.test('a check of the store in the middle of a fold finds nothing wrong', async (t) => {
  const path = writeStore(t, {})
  const child = runScript(`${REACT}
    const db = new DB('file:${path}')
    const checks = []
    react = (call) => call === 'rename' && checks.push(db.check().catch((error) => error.message))
    await db.addUser('a@b', 'x')
    const alive = setInterval(async () => {
      if (checks.length < 3) return
      clearInterval(alive)
      console.log(JSON.stringify(await Promise.all(checks)))
      await db.close()
    }, 10)`)
  t.match(await child.exited, { code: 0 })
  t.equal(child.stdout, '[null,null,null]\n', 'after the renames of a start, and of a fold')
})

t.test('two links to one table are one table, even before it exists', async (t) => {
  const directory = tempDir(t)
  mkdirSync(`${directory}/data`)
  symlinkSync('data/users.json', `${directory}/one.json`)
  symlinkSync('one.json', `${directory}/two.json`)
  symlinkSync('data', `${directory}/other`)
  const db = new DB(`file:${directory}/two.json`)
  await db.open()
  for (const path of ['one.json', 'two.json', 'data/users.json', 'other/users.json']) {
    await t.rejects(new DB(`file:${directory}/${path}`).open(), { message: /is held by this process itself/ }, path)
  }
  await db.addUser('a@b', 'x')
  await db.close()
  t.strictSame(readdirSync(`${directory}/data`), ['users.json'])
  t.ok(statSync(`${directory}/two.json`).isFile(), 'the links are kept')
  symlinkSync('b.json', `${directory}/a.json`)
  symlinkSync('a.json', `${directory}/b.json`)
  await t.rejects(new DB(`file:${directory}/a.json`).open(), { name: 'StoreError', message: /ELOOP/ })
})

t.test('a relative path is resolved when the DB is made; what begins with file:// is a URL', async (t) => {
  const directory = tempDir(t)
  const cwd = process.cwd()
  t.teardown(() => process.chdir(cwd))
  process.chdir(directory)
  const relative = new DB('file:a%20b.json')
  process.chdir(cwd)
  await relative.addUser('a@b', 'x')
  await relative.close()
  const name = `${directory}/a ü%20b#?.json`
  const url = new DB(pathToFileURL(name).href)
  await url.addUser('a@b', 'x')
  await url.close()
  t.strictSame(readdirSync(directory).sort(), ['a ü%20b#?.json', 'a%20b.json'])
  for (const bad of ['file://host/users.json', 'file:///a%2Fb', 'file:///a?b', 'file:///a#b', 'file:///%']) {
    t.throws(() => new DB(bad), ValueError, bad)
  }
})

t.test('the files of a DB that nobody closes are not closed by the garbage collector', async (t) => {
  const child = runScript(`
    import { setFlagsFromString } from 'node:v8'
    import { runInNewContext } from 'node:vm'
    import { DB } from './db.ts'
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc')
    process.on('warning', (warning) => console.log(warning.message))
    const path = '${writeStore(t, { '': table(row(1)) })}'
    await new DB('file:' + path).addUser('a@b', 'x')
    // The timer of the fold refers to the DB for a second.
    const { readFileSync } = await import('node:fs')
    while (!readFileSync(path, 'utf8').includes('a@b')) await new Promise((resolve) => setTimeout(resolve, 50))
    for (let i = 0; i < 10; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      gc()
    }
    await new DB('file:' + path).open().catch(({ message }) => console.log(message))`)
  t.match(await child.exited, { code: 0 })
  t.match(
    child.stdout,
    /^\S+users.json-lock is held by this process itself, by another DB; use that one, or close it first\n$/,
  )
  t.equal(child.stderr, '')
})

t.test('a table may not have the name of a file that may belong to another table', async (t) => {
  const { path } = await openWith(t, { '': table(row(1)) })
  const before = snapshot(path)
  const uuid = randomUUID()
  for (const end of ['-wal', '-lock', `-tmp-${uuid}`, `-wal-tmp-${uuid}`]) {
    await t.rejects(new DB(`file:${path}${end}`).open(), {
      name: 'StoreError',
      message: `${path}${end} may belong to another table: choose a name without -wal, -tmp or -lock at its end`,
    })
  }
  t.strictSame(snapshot(path), before)
})

t.test('a start removes the temporary files that others have left, and nothing else', async (t) => {
  const [uuid, precious] = [randomUUID(), `${tempDir(t)}/precious`]
  const kept = [`-tmp`, `-wal-tmp`, `-tmp-${uuid}.bak`, `-tmp-${uuid.slice(1)}`, `-edited-tmp-${uuid}`, `2-tmp-${uuid}`]
  const path = writeStore(t, Object.fromEntries([...kept, `-tmp-${uuid}`].map((end) => [end, 'x'])))
  writeFileSync(precious, 'x')
  symlinkSync(precious, `${path}-wal-tmp-${uuid}`)
  await (await openWith(t, {}, path)).db.close()
  t.strictSame(filesAt(path), kept.map((end) => `users.json${end}`).sort())
  t.equal(readFileSync(precious, 'utf8'), 'x', 'a link is removed, its target is not')
})

const mounts = tempDir(t)
const file = `${mounts}/a table\\.json`
writeFileSync(`${mounts}/source`, table(row(1)))
writeFileSync(file, '')
// This also mounts it, for the next test.
const NEEDS_MOUNT = needs('mount', '--bind', `${mounts}/source`, file)
t.teardown(() => NEEDS_MOUNT.skip === false && spawnSync('umount', ['-l', file]))

t.test('a table that is mounted as a file is refused', NEEDS_MOUNT, async (t) => {
  await t.rejects(new DB(`file:${file}`).open(), {
    name: 'StoreError',
    message: `${file} is mounted as a file, which cannot be replaced by a newer table: mount its directory instead`,
  })
  t.strictSame(readdirSync(mounts), ['a table\\.json', 'source'])
})

t.test('anything but a regular file is refused in one line, and the lock is released', async (t) => {
  for (const end of ['', '-wal']) {
    const path = writeStore(t, {})
    for (const make of [() => mkdirSync(path + end), () => spawnSync('mkfifo', [path + end])]) {
      make()
      await t.rejects(new DB(`file:${path}`).open(), {
        name: 'StoreError',
        message: new RegExp(`^\\S+users.json${end} is not a regular file; move it away$`),
      })
      t.strictSame(filesAt(path), [`users.json${end}`])
      rmSync(path + end, { recursive: true })
    }
  }
  const path = writeStore(t, {})
  const server = createServer().listen(path)
  await new Promise((resolve) => connect(path, () => resolve(null)).end())
  await t.rejects(new DB(`file:${path}`).open(), { message: /is not a regular file/ })
  server.close()
})

t.test('for a missing directory the refusal says what to do', async (t) => {
  const path = join(tempDir(t), 'none/users.json')
  const message = /^cannot open \S+: ENOENT: .*; create the directory, or correct the path$/
  await t.rejects(new DB(`file:${path}`).open(), { name: 'StoreError', message })
})

const { disk, options: needsDisk } = smallDisk(t, '256k')

t.test('without room for a copy of the log the refusal says what to do', needsDisk, async (t) => {
  const content = log(...Array.from({ length: 3000 }, (_, i) => [row(i + 1)]))
  const path = writeStore(t, { '-wal': content }, `${disk}/users.json`)
  const message = /^cannot open \S+: \S+-wal-tmp-\S+: ENOSPC: .*; make room on the disk$/
  await t.rejects(new DB(`file:${path}`).open(), { name: 'StoreError', message })
  t.strictSame(filesAt(path), ['users.json-wal'])
  t.equal(readFileSync(`${path}-wal`, 'utf8'), content, 'nothing is lost')
})

t.test('a file that cannot be examined is not taken for a missing one', NEEDS_ROOT, async (t) => {
  for (const end of ['', '-wal']) {
    const path = writeStore(t, { [end]: end === '' ? table(row(1)) : log([row(1)]) })
    const directory = dirname(path)
    spawnSync('chown', ['65534', directory])
    spawnSync('chmod', ['600', path + end])
    const program = runScript(`${AS_NOBODY}
        import { DB } from './db.ts'
        const db = new DB('file:${path}')
        await db.addUser('a@b', 'x').catch((error) => console.log(error.name, error.message))
        await db.close()`)
    t.match(await program.exited, { code: 0 })
    t.match(
      program.stdout,
      new RegExp(`^StoreError cannot open \\S+: EACCES.*users.json${end}'; give .* to this user`),
      end,
    )
    t.strictSame(readdirSync(directory), [`users.json${end}`])
  }
})
