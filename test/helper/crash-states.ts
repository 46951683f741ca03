/**
 * The states in which a power cut may leave a directory, from a record of what was done in it. Bytes that were not
 * synced may be there, be missing, be cut off anywhere, or have holes of zeros; each name that was not synced may be
 * there or not.
 */
import type { Step, Told } from './record.ts'

/** A state: the files by name, and what users had been told before the power cut. */
export type State = { step: number; files: Map<string, Buffer>; told: Told[] }

/** A change to the bytes of a file. */
type Change = { bytes: Buffer } | { length: number }
/** A file: what is durable, and what was done since. */
type File = { durable: Buffer; pending: Change[] }
/** A change to the names of a directory. */
type NameChange = { name: string; file: number | undefined; gone?: string }

/** All states after each step, without repetitions; `cuts` returns where a write of a given length may be cut off. */
export function* crashStates(steps: readonly Step[], cuts: (length: number) => number[]): Generator<State> {
  const files = new Map<number, File>()
  const durableNames = new Map<string, number>()
  const names = new Map<string, number>()
  let pendingNames: NameChange[] = []
  const told: Told[] = []
  const seen = new Set<string>()
  for (const [number, step] of steps.entries()) {
    if (step.op === 'told') told.push(step)
    else if (step.op === 'syncDirectory') {
      for (const change of pendingNames) applyName(durableNames, change)
      pendingNames = []
    } else if (step.op === 'create' || step.op === 'rename' || step.op === 'unlink') {
      if (step.op === 'create') files.set(step.file, { durable: Buffer.alloc(0), pending: [] })
      const change = toNameChange(step, names)
      applyName(names, change)
      pendingNames.push(change)
    } else {
      const file = files.get(step.file)
      if (file === undefined) throw new Error('a step on a file that was not created')
      if (step.op !== 'sync') file.pending.push(step)
      else files.set(step.file, { durable: file.pending.reduce(applyChange, file.durable), pending: [] })
    }
    for (const some of subsets(pendingNames)) {
      const left = new Map(durableNames)
      for (const change of some) applyName(left, change)
      for (const content of contents([...left], files, cuts)) {
        const key = `${told.length}|${[...content].map(([name, bytes]) => `${name}:${bytes.toString('latin1')}`).sort()}`
        if (seen.has(key)) continue
        seen.add(key)
        yield { step: number, files: content, told: [...told] }
      }
    }
  }
}

function toNameChange(step: Step & { op: 'create' | 'rename' | 'unlink' }, names: Map<string, number>): NameChange {
  if (step.op === 'rename') return { name: step.to, file: names.get(step.from), gone: step.from }
  if (step.op === 'create') return { name: step.name, file: step.file }
  return { name: step.name, file: undefined }
}

function applyName(names: Map<string, number>, { name, file, gone }: NameChange): void {
  if (gone !== undefined) names.delete(gone)
  if (file === undefined) names.delete(name)
  else names.set(name, file)
}

function applyChange(content: Buffer, change: Change): Buffer {
  return 'bytes' in change ? Buffer.concat([content, change.bytes]) : content.subarray(0, change.length)
}

/** Every subset of some changes, in their order. */
function subsets<T>([first, ...rest]: readonly T[]): T[][] {
  if (first === undefined) return [[]]
  return subsets(rest).flatMap((subset) => [subset, [first, ...subset]])
}

/** Every combination of contents of the named files. */
function contents(
  [first, ...rest]: [string, number][],
  files: Map<number, File>,
  cuts: (length: number) => number[],
): Map<string, Buffer>[] {
  if (first === undefined) return [new Map()]
  const [name, id] = first
  const file = files.get(id) ?? { durable: Buffer.alloc(0), pending: [] }
  const others = contents(rest, files, cuts)
  return versions(file, cuts).flatMap((bytes) => others.map((other) => new Map([[name, bytes], ...other])))
}

/** The contents that a file may have after a power cut. */
function versions({ durable, pending }: File, cuts: (length: number) => number[]): Buffer[] {
  const found = [durable]
  let before = durable
  for (const change of pending) {
    const after = applyChange(before, change)
    if ('bytes' in change) {
      const { bytes } = change
      for (const cut of cuts(bytes.length)) {
        const zeros = (start: number, end: number) =>
          Buffer.concat([before, bytes.subarray(0, start), Buffer.alloc(end - start), bytes.subarray(end)])
        found.push(Buffer.concat([before, bytes.subarray(0, cut)]), zeros(0, cut), zeros(cut, bytes.length))
        found.push(zeros(cut, Math.min(cut + 16, bytes.length)))
      }
    }
    found.push(after)
    before = after
  }
  return found
}
