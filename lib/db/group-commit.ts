/** Group commit: the changes that arrive while a sync runs share the next write and the next sync. */
import type { User } from '../../user.ts'

/** The most rows in a batch. They take about 6 MB at most, far below V8's longest string (512 MB). */
const MAX_ROWS = 1000

/** A changed row as JSON, what takes the change back, and who waits for it. */
type Change = { row: string; undo: () => void; resolve: () => void; reject: (error: unknown) => void }

/** Writes changed rows in batches, one after the other. A batch is kept as a whole or undone as a whole. */
export class GroupCommit {
  readonly #write: (line: string) => Promise<void>
  #waiting: Change[] = []
  #turn: Promise<unknown> = Promise.resolve()
  /** How many batches could not be written. */
  failures = 0

  /** @param write resolves when a line is durable */
  constructor(write: (line: string) => Promise<void>) {
    this.#write = write
  }

  /** Resolves when the changed row is durable. If it cannot be written, calls `undo` and rejects. */
  add(user: User, undo: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ row: JSON.stringify(user), undo, resolve, reject })
      if (this.#waiting.length === 1) void this.inTurn(() => this.#commit())
    })
  }

  /** Runs a task while no batch is being written, after everything that was queued before it. */
  inTurn(task: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(task)
    this.#turn = done.catch(() => {})
    return done
  }

  /** Resolves when all changes so far are written or undone. */
  drained(): Promise<void> {
    return this.inTurn(async () => {})
  }

  /** Writes what has waited until now, in as many batches as it takes. */
  async #commit(): Promise<void> {
    const changes = this.#waiting.splice(0)
    while (changes.length > 0) {
      const batch = changes.splice(0, MAX_ROWS)
      try {
        await this.#write(`[${batch.map(({ row }) => row).join(',')}]\n`)
        for (const { resolve } of batch) resolve()
      } catch (error) {
        this.failures++
        // Undo the later changes too: they were made on top of these.
        const undone = [...batch, ...changes.splice(0), ...this.#waiting.splice(0)]
        for (const { undo } of undone.toReversed()) undo()
        for (const { reject } of undone) reject(error)
      }
    }
  }
}
