/** A failure on purpose. */

/** A failure on purpose: its status, its message for the client, and the headers that go with it. */
export class HttpError extends Error {
  readonly status: number
  readonly headers: readonly string[]

  /** An answer in the form of an error. */
  constructor(status: number, message: string, headers: readonly string[] = []) {
    super(message)
    this.status = status
    this.headers = headers
  }
}

/** The message of whatever was thrown, for people. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || String(error) : String(error)
}
