/** Programs of the project as child processes, and a directory for each test. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** The command that runs any file of the project; test/runtimes/run.ts sets another one. */
export const RUNTIME = process.env['TEST_RUNTIME']?.split(' ') ?? [
  process.execPath,
  '--import',
  import.meta.resolve('tsx'),
]

const isMeasured = process.env['_TAPJS_PROCESSINFO_COVERAGE_'] === '1'
// tap's loader and coverage double a program's start time, so programs get them only where coverage is measured.
if (!isMeasured) Reflect.deleteProperty(process.env, 'NODE_OPTIONS')

/** The files that tests start as programs, or import in scripts that they run. */
const PROGRAMS = [
  'server',
  'main',
  'auth',
  'db',
  'lib/db/to-postgres',
  'lib/db/lock',
  'test/helper/store',
  'test/lib/db/lock-child',
]
let bundle: string | undefined

/**
 * The directory of the programs as JavaScript, which starts in a third of the time that tsx takes. This process builds
 * them anew, so that they are never older than the code. It is inside the project, as the programs import packages.
 */
function bundled(): string {
  if (bundle !== undefined) return bundle
  const { buildSync }: typeof import('esbuild') = createRequire(import.meta.url)('esbuild')
  const outdir = join(ROOT, '.tap/programs', `${process.pid}`)
  process.on('exit', () => rmSync(outdir, { recursive: true, force: true }))
  buildSync({
    absWorkingDir: ROOT,
    entryPoints: PROGRAMS.map((name) => `${name}.ts`),
    outdir,
    bundle: true,
    splitting: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    keepNames: true,
  })
  return (bundle = outdir)
}

const isBundled = (file: string) =>
  !isMeasured && process.env['TEST_RUNTIME'] === undefined && PROGRAMS.includes(file.replace(/\.ts$/, ''))

/** The command that runs a program of the project, with options for node. */
export function commandOf(file: string, nodeArgs: string[] = []): string[] {
  if (isBundled(file)) return [process.execPath, ...nodeArgs, join(bundled(), file.replace(/\.ts$/, '.js'))]
  return [...RUNTIME, ...nodeArgs, join(ROOT, file)]
}

/** The command that runs a module's text, which may import the project's files as from its root. */
export function commandOfScript(text: string): string[] {
  const files = [...text.matchAll(/'\.\/([\w/-]+\.ts)'/g)].map(([, file = '']) => file)
  if (!files.every(isBundled)) return [...RUNTIME, '--input-type=module', '-e', text]
  const script = text.replace(/'\.\/([\w/-]+)\.ts'/g, (_, name) => `'${bundled()}/${name}.js'`)
  return [process.execPath, '--input-type=module', '-e', script]
}

/** A directory of the test's own, removed when the test and what it left running have ended. */
export function tempDir(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'auth-test-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** A program of the project that runs as a child process. */
export class Program {
  readonly child: ChildProcess
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  stdout = ''
  /** The text on stderr, with the time before each of the server's lines. */
  stampedErrors = ''

  /** Starts a file of the project, or a whole command; `prefix` is a command that runs another one. */
  constructor(
    program: string | string[],
    env: Record<string, string> = {},
    nodeArgs: string[] = [],
    args: string[] = [],
    prefix: string[] = [],
  ) {
    const whole = typeof program === 'string' ? commandOf(program, nodeArgs) : program
    const [command = '', ...rest] = [...prefix, ...whole, ...args]
    this.child = spawn(command, rest, {
      cwd: ROOT,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child.stdout?.on('data', (data) => (this.stdout += data))
    this.child.stderr?.on('data', (data) => (this.stampedErrors += data))
    this.exited = once(this.child, 'close').then(([code, signal]) => ({ code, signal }))
  }

  /** The text on stderr, without the time. */
  get stderr(): string {
    return this.stampedErrors.replace(/^\d{4}-\d\d-\d\dT\S+Z /gm, '')
  }

  /** Resolves when stdout or stderr matches, with the match; rejects when the program ends before. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr)
      if (match !== null) return match
      const more = [this.child.stdout, this.child.stderr].map((stream) => stream && once(stream, 'data'))
      const ended = await Promise.race([...more, this.exited.then(() => 'ended' as const)])
      if (ended === 'ended' && !pattern.test(this.stdout + this.stderr)) {
        throw new Error(`the program ended before it printed ${pattern}: ${this.stdout}${this.stderr}`)
      }
    }
  }

  /** Sends a signal and waits for the end; resolves with the exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.child.kill(signal)
    return (await this.exited).code
  }
}

/** Runs a module's text as a program, from the project's root. */
export function runScript(text: string): Program {
  return new Program(commandOfScript(text))
}

/** A running server; `url` has no slash at its end. */
export type RunningServer = Program & { url: string; port: number }

/** Starts the server with a store and a port of its own; it is stopped at the end of the test. */
export async function startServer(
  t: Test,
  env: Record<string, string> = {},
  nodeArgs: string[] = [],
): Promise<RunningServer> {
  const defaults = { HOST: '127.0.0.1', PORT: '0', DATABASE_URL: 'memory:', BCRYPT_COST: '4' }
  const program = new Program('server.ts', { ...defaults, ...env }, nodeArgs)
  t.teardown(async () => {
    program.child.kill('SIGTERM')
    const cutOff = setTimeout(() => program.child.kill('SIGKILL'), 5000)
    await program.exited
    clearTimeout(cutOff)
  })
  const match = await program.printed(/istening on (http:\/\/\S+:(\d+))/)
  return Object.assign(program, { url: match[1] ?? '', port: Number(match[2]) })
}

/**
 * Ways to start a program other than by its file name: its name without the extension, its name with .js, and a script
 * that imports it, as pm2 does. Each comes with the environment variables that it needs.
 */
export function startedOtherwise(t: Test, name: string): [script: string, variables: Record<string, string>][] {
  const manager = join(tempDir(t), 'manager.mjs')
  writeFileSync(manager, "import { pathToFileURL } from 'node:url'\nimport(pathToFileURL(process.env.pm_exec_path))\n")
  return [
    [`./${name}`, {}],
    [`./${name}.js`, {}],
    [manager, { pm_exec_path: join(ROOT, `${name}.ts`) }],
  ]
}
