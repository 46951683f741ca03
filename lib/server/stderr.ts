/** Lines for the operator, on stderr. */

/** How many characters may wait for a reader of stderr; lines beyond them are dropped. */
const MOST_UNREAD = 1024 * 1024

/** From now on puts the time before each line that `console.error` prints, in whatever module. */
export function stampErrors(): void {
  const print = console.error
  console.error = (...parts) => {
    if (process.stderr.writableLength < MOST_UNREAD) print(new Date().toISOString(), ...parts)
  }
}
