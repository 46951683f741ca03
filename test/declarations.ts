/** The types that other programs see: none is `any`, and an editor has a text to show for each name. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ROOT, tempDir } from './helper/program.ts'

/** The lines of a declaration that say `any`, outside of comments. */
function linesWithAny(lines: string[]): string[] {
  return lines.filter((line) => !/^\s*(\/\*)?\*/.test(line) && /\bany\b/.test(line))
}

/**
 * The exports of a declaration file, and the members of its classes, that have no comment on the line before. A
 * constructor needs none beside that of its class.
 */
function undocumented(lines: string[]): string[] {
  const isName = /^export (?!\{|type \{)|^ {4}(?!#private|name: |private |constructor\()[\w<[]/
  const documented = new Set<string>()
  let inClass = false
  return lines.filter((line, i) => {
    if (/^\S/.test(line)) inClass = /^export declare (abstract )?class /.test(line)
    if (!isName.test(line) || (line.startsWith(' ') && !inClass)) return false
    // A class and the interface that it is merged with, or the overloads of a function, share a comment.
    const name = /(?:class|interface|function|const|type) (\w+)/.exec(line)?.[1] ?? line
    if (/\*\/$/.test(lines[i - 1] ?? '')) documented.add(name)
    return !documented.has(name)
  })
}

t.test('no declaration has an any, and every exported name has a comment', async (t) => {
  const directory = tempDir(t)
  const settings = ['--noEmit', 'false', '--declaration', '--emitDeclarationOnly', '--outDir', directory]
  // Not bin/tsc: the test runner's hooks fail on a file without an extension.
  const compiler = fileURLToPath(import.meta.resolve('typescript/package.json')).replace('package.json', 'lib/tsc.js')
  execFileSync(process.execPath, [compiler, ...settings], { cwd: ROOT })
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  const linesOf = (file: string) => readFileSync(join(directory, file), 'utf8').split('\n')
  const declarations = files.filter((file) => file.endsWith('.d.ts') && !file.startsWith('test'))
  t.ok(declarations.length > 20, 'the compiler has written them')
  for (const file of declarations) t.strictSame(linesWithAny(linesOf(file)), [], `${file}: no any`)
  const top = declarations.filter((file) => !file.includes('/'))
  const behind = top.flatMap((file) =>
    linesOf(file).flatMap((line) => /^export .* from '.\/(lib.*)\.ts'/.exec(line)?.[1] ?? []),
  )
  t.ok(behind.length > 2, 'the files that are re-exported are found')
  for (const file of new Set([...top, ...behind.map((name) => `${name}.d.ts`)])) {
    t.strictSame(undocumented(linesOf(file)), [], `${file}: each name has a comment`)
  }
})
