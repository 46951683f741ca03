/** Group commit: the changes that come while a sync runs share the next write and the next sync. */
import type { User } from '../../user.ts'

/** Changes that share one write; `doomed` when a write that they were built on has failed. */
type Batch = { rows: string[]; undos: (() => void)[]; done: Promise<void>; doomed?: { error: unknown } }

/** Puts changed rows into batches and writes one batch after the other. A batch is kept as a whole or undone as a whole. */
export class GroupCommit {
  readonly #write: (line: string) => Promise<void>
  #next: Batch | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #failures = 0

  /** `write` makes a line durable. */
  constructor(write: (line: string) => Promise<void>) {
    this.#write = write
  }

  /** How many batches were undone. */
  get failures(): number {
    return this.#failures
  }

  /** Resolves when the changed row is durable. If it cannot be, calls `undo` and rejects. */
  add(user: User, undo: () => void): Promise<void> {
    this.#next ??= this.#begin()
    this.#next.rows.push(JSON.stringify(user))
    this.#next.undos.push(undo)
    return this.#next.done
  }

  /** Runs a task between two batches, after those that were begun before it. */
  inTurn(task: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(task)
    this.#turn = done.catch(() => {})
    return done
  }

  /** Resolves when all batches so far are written or undone. */
  drained(): Promise<void> {
    return this.inTurn(async () => {})
  }

  #begin(): Batch {
    const batch: Batch = { rows: [], undos: [], done: this.inTurn(() => this.#commit(batch)) }
    return batch
  }

  async #commit(batch: Batch): Promise<void> {
    if (batch.doomed !== undefined) throw batch.doomed.error
    this.#next = undefined
    try {
      await this.#write(`[${batch.rows.join(',')}]\n`)
    } catch (error) {
      this.#undo(batch, error)
      throw error
    }
  }

  /** Takes back, last first, what has failed and what was built on it. */
  #undo(failed: Batch, error: unknown): void {
    this.#failures++
    const undos = [...failed.undos, ...(this.#next?.undos ?? [])]
    if (this.#next !== undefined) this.#next.doomed = { error }
    this.#next = undefined
    for (const undo of undos.reverse()) undo()
  }
}
