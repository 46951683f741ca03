/** A trick that keeps a busy server fast on node 20, and on no other; the service works the same without it. */
import { executionAsyncResource } from 'node:async_hooks'

/** One of the objects that node makes for each process.nextTick. */
let kept: object | undefined

/**
 * V8 forgets the shape of those objects when it collects garbage while there is none, and from then on nextTick is slow. Keeping
 * one saves node 20 a tenth of its highest rate, and node 24 and 26 nothing. To measure it again, leave out the line in
 * http-server.ts that calls this, and compare what `npm run bench` prints.
 */
export function keepNextTickFast(): void {
  if (!process.versions.node.startsWith('20.')) return
  if (kept === undefined) process.nextTick(() => (kept = executionAsyncResource()))
}
