/** The error that a handler throws to answer a request. */

/** A failure: its status, its message for the client, and the headers that go with it. */
export class HttpError extends Error {
  readonly status: number
  readonly headers: readonly string[]

  /** `headers` are names and values in turn. */
  constructor(status: number, message: string, headers: readonly string[] = []) {
    super(message)
    this.status = status
    this.headers = headers
  }
}
