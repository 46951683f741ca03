/** The child process of auth.ts: bare bcrypt hashes, `hash-child.ts COST`; answers messages with figures. */
import { availableParallelism } from 'node:os'
import { hash } from '@node-rs/bcrypt'
import { jobsPerSecond } from './bench.ts'

const cost = Number(process.argv[2])

process.on('message', async ({ milliseconds = 0 }: { milliseconds?: number }) => {
  const rate = await jobsPerSecond(availableParallelism(), milliseconds, () => hash('a password', { cost }))
  process.send?.({ rate })
})
