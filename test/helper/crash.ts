/** Records the store at work, and checks that no state that a power cut may leave has lost an acknowledged row. */
import { recording, type Step, type Told } from './record.ts'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { DB, NoResultFound } from '../../db.ts'
import { crashStates } from './crash-states.ts'
import { log, row, table } from './store.ts'

/** A row's version: 1 once registered, and one more with each login; the nth login stores `n` as the session. */
const versionOf = (session: string | null) => Number(session ?? 0) + 1

/** Users at work on a store. Each change makes a row's next version; the answer to it is recorded as a `told` step. */
class Users {
  readonly #db: DB
  readonly #sent = new Map<string, number>()

  constructor(path: string) {
    this.#db = new DB(`file:${path}`)
  }

  /** Opens the store, and goes on with the users that are in it. */
  async open(emails: string[]): Promise<void> {
    await this.#db.open()
    for (const email of emails) this.#tell(email, versionOf((await this.#db.findUserBy({ email })).session_id))
  }

  async register(email: string): Promise<void> {
    const version = await this.#db.addUser(email, 'x').then(
      () => 1,
      () => 0,
    )
    this.#tell(email, version)
  }

  async logIn(email: string): Promise<void> {
    const { id, session_id } = await this.#db.findUserBy({ email })
    const version = Math.max(this.#sent.get(email) ?? 0, versionOf(session_id)) + 1
    this.#sent.set(email, version)
    await this.#db.updateUser(id, { session_id: `${version - 1}` })
    this.#tell(email, version)
  }

  close(): Promise<void> {
    return this.#db.close()
  }

  #tell(email: string, version: number): void {
    recording.steps.push({ op: 'told', email, version })
  }
}

/** Leaves the files of a store that was killed before a sync; the second part of each is only in the page cache. */
function leaveFiles(directory: string, files: Record<string, [durable: string, cached: string]>): Step[] {
  const steps: Step[] = []
  for (const [i, [name, [durable, cached]]] of Object.entries(files).entries()) {
    writeFileSync(`${directory}/${name}`, durable + cached)
    const file = -1 - i
    steps.push({ op: 'create', name, file }, { op: 'write', file, bytes: Buffer.from(durable) }, { op: 'sync', file })
    if (cached !== '') steps.push({ op: 'write', file, bytes: Buffer.from(cached) })
  }
  return [...steps, { op: 'syncDirectory' }]
}

/** Starts a killed store, folds under load, stops, and starts again; returns the steps, and the first one to check. */
export async function recordFolds(directory: string): Promise<{ steps: Step[]; first: number }> {
  const path = `${directory}/users.json`
  const emails = [1, 2, 3, 4].map((id) => row(id).email)
  recording.steps = leaveFiles(directory, {
    'users.json': [table(row(1), row(2)), ''],
    'users.json-wal': [
      log([row(2, { session_id: '1' })], [row(3)], [row(3, { session_id: '1' })]),
      log([row(3, { session_id: '2' }), row(4)]),
    ],
  })
  const first = recording.steps.length - 1
  const countLogs = () => recording.steps.filter((step) => step.op === 'rename' && step.to.endsWith('-wal')).length
  recording.directory = directory
  for (const start of [1, 2, 3]) {
    const users = new Users(path)
    await users.open(emails)
    const writers = emails.map(async (email, i) => {
      for (let round = 0; round < 1 + i; round++) await users.logIn(email)
    })
    const joined = users.register(`new${start}@me.com`).then(() => emails.push(`new${start}@me.com`))
    await Promise.all([...writers, joined])
    // Goes on until the first start has folded what it found: what comes after that is in a new log.
    while (start === 1 && countLogs() < 2) await users.logIn(row(1).email)
    await users.logIn(row(2).email)
    await users.close()
  }
  recording.directory = ''
  return { steps: recording.steps, first }
}

/** Registers users until `directory` is full, makes room, and registers one more; returns the steps. */
export async function recordFullDisk(directory: string, makeRoom: () => void): Promise<Step[]> {
  recording.steps = []
  recording.directory = directory
  const users = new Users(`${directory}/users.json`)
  await users.open([])
  for (let i = 0; recording.steps.at(-1)?.op !== 'told' || told(recording.steps).at(-1)?.version !== 0; i++) {
    if (i === 10_000) throw new Error('the disk never filled up')
    await users.register(`${'x'.repeat(230)}${i}@me.com`)
  }
  makeRoom()
  await users.register('after@me.com')
  await users.close()
  recording.directory = ''
  return recording.steps
}

const told = (steps: readonly Step[]) => steps.filter((step) => step.op === 'told')

/**
 * Opens the states that the steps may leave, from the given step on. Returns how many there were, and what was wrong
 * with those that lost a row, brought a refused one back, or could not be opened.
 */
export async function checkStates(
  steps: readonly Step[],
  cuts: (length: number) => number[],
  first = 0,
): Promise<{ count: number; wrong: string[] }> {
  // In memory a sync costs nothing.
  const root = mkdtempSync(`${existsSync('/dev/shm') ? '/dev/shm' : tmpdir()}/auth-crash-`)
  const wrong: string[] = []
  let count = 0
  const { error } = console
  try {
    for (const { step, files, told } of crashStates(steps, cuts)) {
      if (step < first) continue
      const directory = `${root}/${count++}`
      mkdirSync(directory)
      for (const [name, bytes] of files) writeFileSync(`${directory}/${name}`, bytes)
      let warnings = 0
      console.error = () => warnings++
      const problem = await findProblem(`${directory}/users.json`, told)
      // A write that was reported as failed must leave nothing behind that a start would drop with a warning.
      const last = steps[step]
      if (last?.op === 'told' && last.version === 0 && warnings > 0) wrong.push(`after step ${step}: a trace is left`)
      if (problem !== undefined) wrong.push(`after step ${step} (${steps[step]?.op}), ${[...files.keys()]}: ${problem}`)
      rmSync(directory, { recursive: true })
    }
  } finally {
    console.error = error
    rmSync(root, { recursive: true, force: true })
  }
  return { count, wrong }
}

/** What is wrong with the store at `path`, given what was told before the power cut; nothing if all is well. */
async function findProblem(path: string, told: readonly Told[]): Promise<string | undefined> {
  const db = new DB(`file:${path}`)
  try {
    await db.open()
    for (const [email, version] of new Map(told.map(({ email, version }) => [email, version]))) {
      const user = await db.findUserBy({ email }).catch((error) => {
        if (error instanceof NoResultFound) return
        throw error
      })
      const found = user === undefined ? 0 : versionOf(user.session_id)
      if (version === 0 ? found > 0 : found < version) return `${email} has version ${found}, but ${version} was told`
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  } finally {
    await db.close()
  }
}
