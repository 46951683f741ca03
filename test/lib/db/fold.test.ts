/** Folding the log into the table: while requests are served, again after a failure, and never over somebody's edit. */
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  watch,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { DB } from '../../../db.ts'
import { Table } from '../../../lib/db/table.ts'
import '../../helper/jobs.ts'
import { AS_NOBODY, LIMIT, NEEDS_ROOT } from '../../helper/disk.ts'
import { runScript, tempDir } from '../../helper/program.ts'
import { dbAt, filesAt, log, openWith, REACT, row, stored, table, writeStore } from '../../helper/store.ts'

/** Resolves when the table is there and its log is empty. */
async function folded(path: string): Promise<void> {
  await until(path, () => statSync(`${path}-wal`).size === 0 && statSync(path, { throwIfNoEntry: false }) !== undefined)
}

/** Resolves when a condition holds, which is checked after each change in the table's directory. */
async function until(path: string, isSo: () => boolean): Promise<void> {
  await new Promise<void>((resolve) => {
    const look = () => {
      if (!isSo()) return
      watcher.close()
      resolve()
    }
    const watcher = watch(dirname(path), look)
    look()
  })
}

/** Opens a table whose folds begin 20 ms after the last write, and are tried again soon; the test closes it. */
async function openEager(t: Test, files: Parameters<typeof writeStore>[1]) {
  const path = writeStore(t, files)
  const engine = await Table.open(path, { idleMs: 20, firstRetryMs: 20 })
  return { engine, path, add: (email: string) => engine.insert(email, 'x') }
}

const printed: string[] = []
t.capture(console, 'error', (line: unknown) => printed.push(String(line)))

/** The lines that console.error has printed about a table so far. */
const errorsOf = (path: string) => printed.filter((line) => line.includes(path))

t.test('a small table is folded after a quiet second', async (t) => {
  const { db, path } = await openWith(t, {})
  await db.addUser('a@b', 'x')
  t.not(readFileSync(`${path}-wal`, 'utf8'), '')
  await folded(path)
  t.equal(stored(path).length, 1)
  t.strictSame(filesAt(path), ['users.json', 'users.json-lock', 'users.json-wal'])
})

t.test('a table with many rows is folded when its log is as long, while requests are served', async (t) => {
  const users = Array.from({ length: 30_000 }, (_, i) =>
    row(i + 1, { session_id: `s${i}`, reset_token: 'ü'.repeat(i % 99) }),
  )
  const { db, path } = await openWith(t, { '': JSON.stringify({ users }) })
  const { ino } = statSync(path)
  let rounds = 0
  for (; statSync(path).ino === ino; rounds++) {
    const ids = Array.from({ length: 500 }, (_, k) => ((rounds * 500 + k) % 30_000) + 1)
    await Promise.all(ids.map((id) => db.updateUser(id, { reset_token: `${rounds}-${id}` })))
  }
  t.ok(rounds > 10)
  await db.updateUser(7, { session_id: 'during' })
  await db.close()
  t.strictSame(filesAt(path), ['users.json'])
  const again = new DB(`file:${path}`)
  t.equal((await again.findUserBy({ session_id: 'during' })).id, 7)
  t.equal((await again.findUserBy({ session_id: 's29999' })).id, 30_000)
  await again.close()
})

t.test('a fold during which a write fails is given up', async (t) => {
  const content = log([row(1)], ...Array.from({ length: 100 }, () => [row(2)]))
  const path = writeStore(t, { '-wal': content })
  const script = `
    ${LIMIT}
    import { DB } from './db.ts'
    const db = new DB('file:${path}')
    await db.open()
    limit(${content.length})
    await db.addUser('a@b', 'x').catch((error) => console.log(error.message))
    await db.close()`
  const child = runScript(script)
  await child.exited
  const { stdout, stderr } = child
  t.match(stdout, /^cannot write \S+users.json-wal: EFBIG/)
  t.match(stderr, /^cannot fold \S+users.json-wal into the table, trying again later: a change .* was undone\n$/)
  t.equal(stored(path).length, 2)
})

t.test('a fold that fails on a directory in place of the table is tried again', async (t) => {
  const { engine, path, add } = await openEager(t, {})
  mkdirSync(path)
  await add('a@b')
  await until(path, () => errorsOf(path).length > 0)
  t.match(
    errorsOf(path).at(-1),
    /^cannot fold \S+users.json-wal into the table, trying again later: \S+ is not a regular file/,
  )
  await add('c@d')
  rmdirSync(path)
  await folded(path)
  t.equal(stored(path).length, 2)
  await engine.close()
  t.equal(errorsOf(path).length, 1, 'one line, however often it was tried')
})

t.test('a stop that leaves rows in the log says so, although the failure was reported before', async (t) => {
  const { engine, path, add } = await openEager(t, {})
  mkdirSync(path)
  await add('a@b')
  await until(path, () => errorsOf(path).length > 0)
  await engine.close()
  t.match(errorsOf(path).slice(1), [/^\S+users.json-wal could not be folded into the table: keep them together/])
  t.equal(errorsOf(path).length, 2)
  rmdirSync(path)
  const again = dbAt(t, `file:${path}`)
  t.equal(await again.countUsers(), 1)
})

/** The versions of a table that other programs have made, the oldest first. */
const editedOf = (path: string) =>
  filesAt(path)
    .filter((name) => /^users\.json-edited-\d{8}T\d{9}Z$/.test(name))
    .map((name) => readFileSync(join(dirname(path), name), 'utf8'))

t.test('an edit while the table is open is kept under another name, and does not count', async (t) => {
  const edited = table(row(1, { email: 'edited@me.com' }), row(2), row(7))
  for (const edit of [
    (path: string) => writeFileSync(path, edited),
    (path: string) => {
      writeFileSync(`${path}-of-editor`, edited)
      renameSync(`${path}-of-editor`, path)
    },
  ]) {
    for (const isWritten of [true, false]) {
      const { engine, path, add } = await openEager(t, { '': table(row(1), row(2)) })
      chmodSync(path, 0o600)
      await engine.update({ id: 2 }, { session_id: 's' })
      await folded(path)
      edit(path)
      if (isWritten) await add('new@me.com')
      if (isWritten) await until(path, () => editedOf(path).length > 0)
      await engine.close()
      t.strictSame(editedOf(path), [edited])
      t.match(errorsOf(path), [
        /^another program has changed \S+users.json while .*: that version is \S+-edited-\S+ now, and does not count; stop the service to edit the table$/,
      ])
      t.match(stored(path), [row(1), { session_id: 's' }, ...(isWritten ? [{ id: 3 }] : [])])
      t.equal(stored(path).length, isWritten ? 3 : 2)
      t.equal(filesAt(path).length, 2)
      t.equal(statSync(path).mode & 0o777, 0o600, 'not the mode of the edit')
    }
  }
  const { db, path } = await openWith(t, {})
  await db.addUser('a@b', 'x')
  writeFileSync(path, edited)
  await db.close()
  t.strictSame(editedOf(path), [edited], 'even where there was no table before')
  t.equal(stored(path).length, 1)
})

t.test('an edit that may not be linked is copied; until it can be read, the fold waits', NEEDS_ROOT, async (t) => {
  const directory = tempDir(t)
  const path = `${directory}/users.json`
  chownSync(directory, 65534, 65534)
  const child = runScript(`${AS_NOBODY}
      import { DB } from './db.ts'
      const db = new DB('file:${path}')
      await db.addUser('a@b', 'x')
      setInterval(() => {}, 1000)
      process.once('SIGUSR2', async () => {
        await db.addUser('c@d', 'x')
        process.once('SIGUSR2', async () => {
          await db.close()
          process.exit()
        })
      })`)
  t.teardown(() => child.stop('SIGKILL'))
  await until(path, () => statSync(path, { throwIfNoEntry: false }) !== undefined)
  const edited = table(row(1, { email: 'edited@me.com' }))
  writeFileSync(`${path}-of-root`, edited, { mode: 0o600 })
  renameSync(`${path}-of-root`, path)
  child.child.kill('SIGUSR2')
  await child.printed(
    /cannot fold \S+users.json-wal into the table, trying again later: EACCES.*copyfile.*users.json-edited/,
  )
  t.match(readFileSync(`${path}-wal`, 'utf8'), /c@d/, 'the log is kept')
  t.equal(readFileSync(path, 'utf8'), edited)
  chmodSync(path, 0o644)
  await until(path, () => editedOf(path).length > 0)
  child.child.kill('SIGUSR2')
  t.match(await child.exited, { code: 0 })
  t.strictSame(editedOf(path), [edited])
  t.equal(stored(path).length, 2)
  t.equal(child.stderr.match(/cannot fold/g)?.length, 1, 'one line, however often it was tried')
  t.equal(filesAt(path).length, 2)
})

t.test('a table that is deleted while it is open is written again, with every row', async (t) => {
  for (const isWritten of [true, false]) {
    const { db, path } = await openWith(t, { '': table(row(1)) })
    rmSync(path)
    if (isWritten) await db.addUser('a@b', 'x')
    await db.close()
    t.equal(stored(path).length, isWritten ? 2 : 1)
  }
})

t.test('an old log that cannot be closed does not end the folds', async (t) => {
  const path = writeStore(t, {})
  const child = runScript(`${REACT}
    const db = new DB('file:${path}')
    await db.addUser('a@b', 'x')
    react = (call) => {
      if (call === 'close') throw new Error('cannot close')
    }
    setInterval(() => {}, 1000)
    process.once('SIGUSR2', () => db.addUser('c@d', 'x'))
    console.log('open')`)
  await child.printed(/open/)
  await folded(path)
  child.child.kill('SIGUSR2')
  await until(path, () => stored(path).length === 2)
  child.child.kill('SIGKILL')
  t.equal(child.stderr, '')
})
