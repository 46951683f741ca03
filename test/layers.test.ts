/** The layout: imports go one way, server.ts → auth.ts → db.ts → user.ts and X.ts → lib/X/. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import t from 'tap'
import { ROOT } from './helper/program.ts'

/** For each file at the top: the others that it, and its folder in lib/, may import. */
const MAY_IMPORT: Record<string, string[]> = {
  'user.ts': [],
  'db.ts': ['user.ts'],
  'auth.ts': ['db.ts', 'user.ts'],
  'server.ts': ['auth.ts'],
  'main.ts': [],
}

type Import = { from: string; to: string }

/** The imports and re-exports of a file that lead to other files of the project. */
function importsOf(from: string, source: string): Import[] {
  const statements = source.matchAll(
    /^(?:import|export)\s+(?:[\w*\s{},$]+?\sfrom\s+)?'(\.[^']+)'|\bimport\('(\.[^']+)'\)/gm,
  )
  return [...statements].map(([, path, dynamic]) => ({
    from,
    to: relative(ROOT, resolve(ROOT, dirname(from), path ?? dynamic ?? '')),
  }))
}

/** The file at the top that a file in lib/ belongs to; a file at the top is its own. */
function topOf(file: string): string {
  return file.replace(/^lib\/(\w+)\/.*/, '$1.ts')
}

/** True if the layout allows an import: any file may import files directly in lib/, and one in lib/X/ also user.ts. */
function isAllowed({ from, to }: Import): boolean {
  const top = topOf(from)
  if (/^lib\/\w+\.ts$/.test(to) || (MAY_IMPORT[top] ?? []).includes(to)) return true
  return to.startsWith('lib/') ? topOf(to) === top : to === 'user.ts' && from !== top
}

/** The files on a cycle of imports, including imports of types; empty if there is none. */
function findCycle(imports: Import[]): string[] {
  const next = new Map<string, Import[]>()
  for (const one of imports) next.set(one.from, [...(next.get(one.from) ?? []), one])
  const done = new Set<string>()
  const visit = (file: string, path: string[]): string[] => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return []
    for (const { to } of next.get(file) ?? []) {
      const cycle = visit(to, [...path, file])
      if (cycle.length > 0) return cycle
    }
    done.add(file)
    return []
  }
  return [...next.keys()].map((file) => visit(file, [])).find((cycle) => cycle.length > 0) ?? []
}

const lib = readdirSync(join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' })
const files = [...Object.keys(MAY_IMPORT), ...lib.filter((path) => path.endsWith('.ts')).map((path) => `lib/${path}`)]
const sources = new Map(files.map((file) => [file, readFileSync(join(ROOT, file), 'utf8')]))
const imports = [...sources].flatMap(([file, source]) => importsOf(file, source))

t.test('imports go one way', async (t) => {
  t.ok(imports.length > 20, 'the imports are found')
  const forbidden = imports.filter((one) => !isAllowed(one))
  t.strictSame(forbidden, [])
  t.strictSame(findCycle(imports), [])
})

t.test('each file begins with a sentence that says what it is for', async (t) => {
  for (const [file, source] of sources) {
    t.match(source, /^\/\*\*/, `${file} begins with a doc comment`)
  }
})

t.test('every test file is in one group', async (t) => {
  const groups = readdirSync(join(ROOT, 'test/groups')).map((file) =>
    readFileSync(join(ROOT, 'test/groups', file), 'utf8'),
  )
  const imported = groups.flatMap((source) => [...source.matchAll(/'\.\.\/(.*\.test\.ts)'/g)].map(([, file]) => file))
  const all = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
  const files = all.filter((file) => /\.test\.ts$/.test(file) && !/^tasks\/|node_modules/.test(file))
  t.strictSame(imported.sort(), files.sort())
})
