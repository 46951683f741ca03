/** For `node --expose-gc --import`: lets a server tell how much memory is in use, by a message to its parent. */
process.on('message', () => {
  globalThis.gc()
  const { heapUsed, external, rss } = process.memoryUsage()
  process.send({ heap: (heapUsed + external) / 2 ** 20, rss: rss / 2 ** 20 })
})
process.channel.unref()
