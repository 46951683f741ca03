/** Kills a server under load, again and again, and looks for what it has acknowledged. */
import { rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { request, sessionOf } from './http.ts'
import { Program, startServer, tempDir } from './program.ts'
import { emailsIn, filesAt, row, table, temporaryFiles } from './store.ts'

/** Kills a server `rounds` times, by turns under load and in the fold at its start; no acknowledged row may be lost. */
export async function killAgainAndAgain(t: Test, rounds: number): Promise<void> {
  const path = `${tempDir(t)}/users.json`
  writeFileSync(path, table(...Array.from({ length: 30_000 }, (_, i) => row(i + 1))))
  const acknowledged: { email: string; session?: string }[] = []
  const refused: string[] = []
  let inFold = 0
  const env = { DATABASE_URL: `file:${path}`, ACCESS_LOG: '0' }
  // A kill may miss the fold on a busy machine: then there are more rounds.
  for (let round = 0; round < rounds || (inFold === 0 && round < 5 * rounds); round++) {
    if (round % 2 === 1) {
      // The start folds what the previous round has left in the log, and is killed while it does so.
      for (const name of temporaryFiles(path)) rmSync(join(dirname(path), name))
      const program = new Program('server.ts', { ...env, HOST: '127.0.0.1', PORT: '0' })
      // The whole fold may happen between two checks.
      const isOver = () => /istening on/.test(program.stdout + program.stderr) && statSync(`${path}-wal`).size === 0
      while (temporaryFiles(path).length === 0 && program.child.exitCode === null && !isOver()) await delay(1)
      await program.stop('SIGKILL')
      if (temporaryFiles(path).length > 0) inFold++
      continue
    }
    const server = await startServer(t, env)
    for (const { email, session } of acknowledged.slice(-30)) {
      t.match(await request(`${server.url}/users`, 'POST', { email, password: 'p' }), { status: 400 })
      if (session === undefined) continue
      const profile = await request(`${server.url}/profile`, 'GET', undefined, { cookie: `session_id=${session}` })
      t.match(profile, { status: 200, body: { email } })
    }
    const client = async (name: string) => {
      for (let i = 0; ; i++) {
        const user: (typeof acknowledged)[number] = { email: `${name}-${i}@me.com` }
        const form = { email: user.email, password: 'p' }
        const bad = { email: `refused-${user.email.replace('@', '')}`, password: 'p' }
        if ((await request(`${server.url}/users`, 'POST', form)).status !== 200) throw new Error('not registered')
        acknowledged.push(user)
        if ((await request(`${server.url}/users`, 'POST', bad)).status === 400) refused.push(bad.email)
        user.session = sessionOf(await request(`${server.url}/sessions`, 'POST', form))
      }
    }
    const clients = Promise.allSettled(Array.from({ length: 8 }, (_, i) => client(`${round}-${i}`)))
    const before = acknowledged.length
    while (acknowledged.length === before) await new Promise(setImmediate)
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 400))
    await server.stop('SIGKILL')
    await clients
  }
  t.not(inFold, 0, `${inFold} kills in a fold, ${acknowledged.length} users`)
  const server = await startServer(t, { DATABASE_URL: `file:${path}` })
  t.equal(await server.stop(), 0)
  t.strictSame(filesAt(path), ['users.json'])
  const stored = emailsIn(path)
  const emails = new Set(stored)
  t.equal(emails.size, stored.length)
  t.strictSame(
    acknowledged.filter(({ email }) => !emails.has(email)),
    [],
  )
  t.strictSame(
    refused.filter((email) => emails.has(email)),
    [],
  )
}
