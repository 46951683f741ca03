/** Records what this process does to the files of a directory, step by step; every call still happens. */
import fsSync from 'node:fs'
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

/** A step: on the bytes of a file, on a name in the directory, a sync of either, or what somebody was told. */
export type Step =
  | { op: 'create'; name: string; file: number }
  | { op: 'write'; file: number; bytes: Buffer }
  | { op: 'truncate'; file: number; length: number }
  | { op: 'sync'; file: number }
  | { op: 'rename'; from: string; to: string }
  | { op: 'unlink'; name: string }
  | { op: 'syncDirectory' }
  | Told

/** What a user was told: that this version of their row is stored, or that it was refused (`version` 0). */
export type Told = { op: 'told'; email: string; version: number }

/** The directory whose steps are recorded (`''`: none), and the steps. */
export const recording: { directory: string; steps: Step[] } = { directory: '', steps: [] }

let files = 0
const nameOf = (path: unknown) => String(path).split('/').at(-1) ?? ''
const isRecorded = (path: unknown) => recording.directory !== '' && String(path).startsWith(recording.directory)
const { open, rename, unlink } = fs
const { unlinkSync } = fsSync

fs.open = async (path, flags, mode) => {
  const handle = await open(path, flags, mode)
  if (!isRecorded(path)) return handle
  const { steps } = recording
  const isDirectory = (await handle.stat()).isDirectory()
  const { appendFile, datasync, sync, truncate } = handle
  if (isDirectory) {
    const record = async (call: () => Promise<void>) => {
      await call.call(handle)
      steps.push({ op: 'syncDirectory' })
    }
    return Object.assign(handle, { datasync: () => record(datasync), sync: () => record(sync) })
  }
  if (flags === 'r') return handle
  const file = files++
  steps.push({ op: 'create', name: nameOf(path), file })
  return Object.assign(handle, {
    appendFile: async (data: string | Buffer) => {
      const { size } = await handle.stat()
      try {
        await appendFile.call(handle, data)
      } finally {
        const written = (await handle.stat()).size - size
        if (written > 0) steps.push({ op: 'write', file, bytes: Buffer.from(data).subarray(0, written) })
      }
    },
    datasync: async () => {
      await datasync.call(handle)
      steps.push({ op: 'sync', file })
    },
    sync: async () => {
      await sync.call(handle)
      steps.push({ op: 'sync', file })
    },
    truncate: async (length: number) => {
      await truncate.call(handle, length)
      steps.push({ op: 'truncate', file, length })
    },
  })
}
fs.rename = async (from, to) => {
  await rename(from, to)
  if (isRecorded(from)) recording.steps.push({ op: 'rename', from: nameOf(from), to: nameOf(to) })
}
fs.unlink = async (path) => {
  await unlink(path)
  if (isRecorded(path)) recording.steps.push({ op: 'unlink', name: nameOf(path) })
}
fsSync.unlinkSync = (path) => {
  unlinkSync(path)
  if (isRecorded(path)) recording.steps.push({ op: 'unlink', name: nameOf(path) })
}
syncBuiltinESMExports()
