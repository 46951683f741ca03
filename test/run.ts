/** `npm test`: tap over all tests. Without a PostgreSQL some are skipped, and what only they reach is not asked for. */
import { spawnSync } from 'node:child_process'
import { hasPostgres } from './helper/postgres.ts'

const options = (await hasPostgres()) || process.env['CI'] !== undefined ? [] : ['--allow-incomplete-coverage']
for (const args of [['build'], [...options, ...process.argv.slice(2)]]) {
  const { status } = spawnSync('tap', args, { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
