import { getEventListeners } from 'node:events'
import { availableParallelism } from 'node:os'
import t, { type Test } from 'tap'
import { Overloaded } from '../../../auth.ts'
import { HashQueue } from '../../../lib/auth/hash-queue.ts'

/** A queue of tasks that end when the test says so. */
class Tasks {
  readonly queue: HashQueue
  /** The addresses whose tasks have begun, in order. */
  readonly begun: string[] = []
  readonly #ends: (() => void)[] = []

  constructor(expectedDurationMs: number) {
    this.queue = new HashQueue(expectedDurationMs)
  }

  /** Adds a task; resolves when it has ended. */
  async add(address: string, signal?: AbortSignal): Promise<void> {
    await this.queue.run({ address, ...(signal && { signal }) }, () => {
      this.begun.push(address)
      return new Promise<void>((end) => this.#ends.push(end))
    })
  }

  /** Ends the task that has run longest; resolves when the next one has begun. */
  async endOne(): Promise<void> {
    this.#ends.shift()?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Sets the size of the thread pool that a new queue sees: 2 leaves one place for hashes. */
function setThreads(t: Test, size: string | undefined): void {
  const { UV_THREADPOOL_SIZE: before } = process.env
  const set = (value: string | undefined) => {
    if (value === undefined) delete process.env['UV_THREADPOOL_SIZE']
    else process.env['UV_THREADPOOL_SIZE'] = value
  }
  set(size)
  t.teardown(() => set(before))
}

t.test('as many hashes run simultaneously as there are cores, and one thread is left over', async (t) => {
  const cores = availableParallelism()
  for (const [threads, places] of [
    [undefined, Math.min(cores, 3)],
    ['64', Math.min(cores, 63)],
    ['3', Math.min(cores, 2)],
    ['2', 1],
    ['1', 1],
    ['abc', 1],
  ] as const) {
    setThreads(t, threads)
    const tasks = new Tasks(1)
    for (let i = 0; i < 70; i++) void tasks.add('a')
    t.equal(tasks.begun.length, places, `UV_THREADPOOL_SIZE=${threads}`)
  }
})

t.test('networks take turns, and within each the oldest task comes first', async (t) => {
  setThreads(t, '2')
  const tasks = new Tasks(1)
  for (const address of ['a', 'a', 'a', 'a', '1::1', '1::2', 'b']) void tasks.add(address)
  for (let i = 0; i < 3; i++) await tasks.endOne()
  void tasks.add('c')
  for (let i = 0; i < 5; i++) await tasks.endOne()
  t.strictSame(tasks.begun, ['a', 'a', '1::1', 'b', 'a', '1::2', 'c', 'a'])
})

t.test('when the queue is full, the network with the most in it gives way', async (t) => {
  setThreads(t, '2')
  const tasks = new Tasks(1000)
  void tasks.add('a')
  const waiting = Array.from({ length: 11 }, () => tasks.add('a'))
  await t.rejects(tasks.add('a'), {
    name: 'Overloaded',
    message: 'too many passwords are waiting to be checked',
    retryAfter: 11,
  })
  void tasks.add('b')
  await t.rejects(waiting.pop() ?? Promise.resolve(), Overloaded, 'the newest of a')
  for (let i = 0; i < 4; i++) void tasks.add('b')
  for (let i = 0; i < 4; i++) await t.rejects(waiting.pop() ?? Promise.resolve(), Overloaded)
  await t.rejects(tasks.add('b'), Overloaded, '6 of a and 5 of b wait: b may not have as many as a')
  for (let i = 0; i < 12; i++) await tasks.endOne()
  t.equal(tasks.begun.join(''), 'aababababababa'.slice(0, 12))
})

t.test('a client that disconnects leaves the queue', async (t) => {
  setThreads(t, '2')
  const tasks = new Tasks(1000)
  const [running, waiting] = [new AbortController(), new AbortController()]
  const first = tasks.add('a', running.signal)
  const left = tasks.add('a', waiting.signal)
  waiting.abort(new Error('disconnected'))
  await t.rejects(left, { message: 'disconnected' })
  await t.rejects(tasks.add('a', waiting.signal), { message: 'disconnected' }, 'never enters')
  running.abort()
  void tasks.add('b')
  t.equal(tasks.begun.length, 1, 'a hash that has begun keeps its thread')
  await tasks.endOne()
  await first
  t.strictSame(tasks.begun, ['a', 'b'])
  for (const { signal } of [running, waiting]) t.equal(getEventListeners(signal, 'abort').length, 0)
})

t.test('a task that fails frees its place, and does not count towards the time that a hash takes', async (t) => {
  setThreads(t, '2')
  const tasks = new Tasks(1000)
  for (let i = 0; i < 100; i++) {
    await t.rejects(
      tasks.queue.run({}, () => Promise.reject(new Error('refused'))),
      { message: 'refused' },
    )
  }
  for (let i = 0; i < 12; i++) void tasks.add('a')
  await t.rejects(tasks.add('a'), { name: 'Overloaded', retryAfter: 11 })
})

t.test('the less time hashes take, the more may wait', async (t) => {
  setThreads(t, '2')
  const tasks = new Tasks(1000)
  for (let i = 0; i < 60; i++) await tasks.queue.run({}, () => Promise.resolve())
  for (let i = 0; i < 100; i++) void tasks.add('a')
  t.equal(tasks.begun.length, 1, 'all of them wait, and none is refused')
})
