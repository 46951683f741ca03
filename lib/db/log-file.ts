/** The log `users.json-wal`: one batch of changed rows per line, appended and synced before anybody is told. */
import { type BigIntStats, statSync, unlinkSync } from 'node:fs'
import { type FileHandle, open, rename, unlink } from 'node:fs/promises'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'
import { exitWith, isSameFile, naming, START_AGAIN, temporaryName } from './files.ts'

/** Bytes copied at a time. */
const COPY_BYTES = 256 * 1024

/**
 * An open log. It is made beside the one that it replaces and takes over its name when it is complete, so that whoever still
 * has the older one open writes to a file that nobody reads any more.
 */
export class LogFile {
  readonly path: string
  readonly #temporary: string
  readonly #file: FileHandle
  readonly #stats: BigIntStats
  #length = 0
  /** True while bytes of an unfinished write may follow the durable part. */
  #isTorn = false

  private constructor(path: string, temporary: string, file: FileHandle, stats: BigIntStats) {
    this.path = path
    this.#temporary = temporary
    this.#file = file
    this.#stats = stats
  }

  /** Makes an empty log that will have the name `path` after `replace`. */
  static async create(path: string): Promise<LogFile> {
    const temporary = temporaryName(path)
    const file = await open(temporary, 'ax+', 0o600)
    try {
      return new LogFile(path, temporary, file, await file.stat({ bigint: true }))
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** How long the durable part is, in bytes. */
  get length(): number {
    return this.#length
  }

  /** Copies the beginning of another log's file to the end of this one, without a sync. */
  async copyFrom(path: string, length: number): Promise<void> {
    const file = await open(path, 'r')
    try {
      await naming(this.#temporary, this.#copy(file, 0, length))
    } finally {
      await file.close()
    }
  }

  /** Copies the durable part of another log from `start` on, without a sync. */
  async copyEnd(other: LogFile, start: number): Promise<void> {
    await naming(this.#temporary, this.#copy(other.#file, start, other.#length))
  }

  async #copy(file: FileHandle, start: number, end: number): Promise<void> {
    const buffer = Buffer.allocUnsafe(COPY_BYTES)
    for (let at = start; at < end;) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(COPY_BYTES, end - at), at)
      if (bytesRead === 0) throw new Error(`${this.path} is shorter than it was`)
      await this.#file.appendFile(buffer.subarray(0, bytesRead))
      this.#length += bytesRead
      at += bytesRead
    }
  }

  /** Makes what was copied durable. */
  async sync(): Promise<void> {
    await naming(this.#temporary, this.#file.datasync())
  }

  /** Takes over the name of the log before this one. Durable when the directory is synced. */
  async replace(): Promise<void> {
    await rename(this.#temporary, this.path)
  }

  /** True if the log's name leads to this log. */
  isInPlace(): boolean {
    return isSameFile(statSync(this.path, { bigint: true, throwIfNoEntry: false }), this.#stats)
  }

  /**
   * Appends text and syncs it; resolves when it is durable.
   * @throws {StoreError} when there is no room for it; whatever was written of it is cut off, now or before the next
   * append
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
      if (isWritten && !isFull(error)) exitWith(`cannot sync ${this.path}: ${messageOf(error)}; ${START_AGAIN}`)
      // On a full btrfs even that can fail. The next append then cuts back before it writes.
      await this.cutBack().catch((undoError) => {
        if (!isFull(undoError)) exitWith(`cannot undo a write to ${this.path}: ${messageOf(undoError)}; ${START_AGAIN}`)
      })
      throw new StoreError(`cannot write ${this.path}: ${messageOf(error)}`)
    }
    this.#isTorn = false
    this.#length += bytes.length
  }

  /** Removes what a failed write has left behind the durable part. Without the sync it could be back after a power cut. */
  async cutBack(): Promise<void> {
    if (!this.#isTorn) return
    await this.#file.truncate(this.#length)
    await this.#file.datasync()
    this.#isTorn = false
  }

  /**
   * Deletes the log. Synchronous, because the caller has just checked that the name still leads to it. An empty log that
   * cannot be deleted does no harm.
   */
  remove(): void {
    try {
      unlinkSync(this.path)
    } catch {}
  }

  /** Closes the file. */
  async close(): Promise<void> {
    await this.#file.close()
  }

  /** Closes and removes a log that has not replaced another. */
  async discard(): Promise<void> {
    await this.#file.close()
    await unlink(this.#temporary).catch(() => {})
  }
}

/** True if there is no room. Some file systems look for it only at a sync (btrfs, NFS): then nothing of the write is there. */
function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')
}
