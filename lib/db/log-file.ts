/** The log `users.json-wal`: one batch of changed rows per line, appended and synced before its callers are told. */
import { createReadStream, unlinkSync } from 'node:fs'
import { type FileHandle, open, rename, unlink } from 'node:fs/promises'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'
import { exitAfter, leadsTo, temporaryName } from './files.ts'

/** The log of one table, to which this process appends until a fold replaces it. */
export class LogFile {
  readonly path: string
  readonly #file: FileHandle
  /** How long the durable part is, in bytes. */
  length: number
  /** True while bytes of an unfinished write may follow the durable part. */
  #isTorn = false

  private constructor(path: string, file: FileHandle, length: number) {
    this.path = path
    this.#file = file
    this.length = length
  }

  /**
   * Replaces the log with a new one, which begins with the bytes of the older one from `start` to `end`. Whoever still
   * has the older one open writes to a file that nobody reads any more. The caller has to sync the directory.
   * @param check throws unless the log may be replaced now
   */
  static async replace(path: string, start: number, end: number, check: () => void): Promise<LogFile> {
    const temporary = temporaryName(path)
    const file = await open(temporary, 'ax', 0o600)
    try {
      await copy(path, start, end, file).catch((error) => {
        throw new Error(`${temporary}: ${messageOf(error)}`)
      })
      check()
      await rename(temporary, path)
      return new LogFile(path, file, end - start)
    } catch (error) {
      await file.close()
      await unlink(temporary).catch(() => {})
      throw error
    }
  }

  /** True if the log's name leads to this log. */
  isInPlace(): boolean {
    return leadsTo(this.path, this.#file.fd)
  }

  /**
   * Appends text and syncs it; resolves when it is durable.
   * @throws {StoreError} when it cannot be written, as on a full disk; what was written of the text is cut off, now or
   * before the next append
   */
  async append(text: string): Promise<void> {
    const bytes = Buffer.from(text)
    let isWritten = false
    try {
      await this.cutBack()
      this.#isTorn = true
      await this.#file.appendFile(bytes)
      isWritten = true
      await this.#file.datasync()
    } catch (error) {
      if (isWritten && !isFull(error)) exitAfter(`sync ${this.path}`, error)
      // On a full btrfs cutting back can fail too. The next append then cuts back before it writes.
      await this.cutBack().catch((undoError) => {
        if (!isFull(undoError)) exitAfter(`undo a write to ${this.path}`, undoError)
      })
      throw new StoreError(`cannot write ${this.path}: ${messageOf(error)}`)
    }
    this.#isTorn = false
    this.length += bytes.length
  }

  /** Cuts off what a failed write has left after the durable part. Without a sync, a power cut could bring it back. */
  async cutBack(): Promise<void> {
    if (!this.#isTorn) return
    await this.#file.truncate(this.length)
    await this.#file.datasync()
    this.#isTorn = false
  }

  /** Deletes the empty log; a failure does no harm. Synchronous, so that it directly follows the caller's check. */
  remove(): void {
    try {
      unlinkSync(this.path)
    } catch {}
  }

  /** Closes the file; another log may have its name by now. */
  async close(): Promise<void> {
    await this.#file.close()
  }
}

/** Copies a part of a file to the end of another one, and syncs that. */
async function copy(path: string, start: number, end: number, to: FileHandle): Promise<void> {
  let copied = 0
  // A stream cannot have an end before its start.
  const pieces: AsyncIterable<Buffer> | [] = start === end ? [] : createReadStream(path, { start, end: end - 1 })
  for await (const piece of pieces) {
    await to.appendFile(piece)
    copied += piece.length
  }
  if (copied < end - start) throw new Error(`${path} is shorter than it was`)
  await to.datasync()
}

/** True if the disk is full. btrfs and NFS may say so only at a sync, and then have kept nothing of the write. */
function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')
}
