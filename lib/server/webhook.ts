/** Where reset tokens are sent. */
import type { Auth } from '../../auth.ts'
import { messageOf } from '../errors.ts'

/** How many times a reset token is sent before the service gives up. */
const WEBHOOK_TRIES = 4
/** How long the receiver may take to answer, in milliseconds. */
const WEBHOOK_TIMEOUT = 5000
/** How long after the first failure the next try comes, in milliseconds; the pause doubles each time. */
const WEBHOOK_PAUSE = 500
/** How many reset tokens may be on their way at once. */
const WEBHOOK_LIMIT = 100

/** Sends reset tokens to the operator's mailer, in the background: an answer tells nobody whether an email is known. */
export class Webhook {
  readonly #auth: Auth
  readonly #url: string
  readonly #sending = new Set<Promise<void>>()

  /** Sends what `auth` makes to `url`. */
  constructor(auth: Auth, url: string) {
    this.#auth = auth
    this.#url = url
  }

  /** Makes a token for the email, if it is known, and sends it. */
  send(email: string): void {
    if (this.#sending.size >= WEBHOOK_LIMIT)
      return console.error(`RESET_WEBHOOK: dropped a reset token, as ${WEBHOOK_LIMIT} are waiting already`)
    const sending = this.#send(email)
      .catch((error) => console.error(`RESET_WEBHOOK: ${messageOf(error)}`))
      .finally(() => this.#sending.delete(sending))
    this.#sending.add(sending)
  }

  /** Resolves when nothing is on its way. */
  async settled(): Promise<void> {
    await Promise.all(this.#sending)
  }

  /** Sends one token; ends when it was received, and throws after the last try. */
  async #send(asked: string): Promise<void> {
    if ((await this.#auth.findUser(asked)) === null) return
    const reset_token = await this.#auth.getResetPasswordToken(asked)
    const user = await this.#auth.findUser(asked)
    const body = JSON.stringify({ email: user?.email, reset_token, expires_at: user?.reset_expires_at })
    for (let tries = 1; ; tries++) {
      try {
        const signal = AbortSignal.timeout(WEBHOOK_TIMEOUT)
        const headers = { 'Content-Type': 'application/json' }
        const { ok, status } = await fetch(this.#url, { method: 'POST', headers, body, signal, redirect: 'error' })
        if (ok) return
        throw new Error(`the receiver answered ${status}`)
      } catch (error) {
        const reason = error instanceof Error && error.cause instanceof Error ? error.cause : error
        if (tries === WEBHOOK_TRIES) throw new Error(`gave up after ${tries} tries: ${messageOf(reason)}`)
        console.error(`RESET_WEBHOOK: try ${tries} of ${WEBHOOK_TRIES} failed: ${messageOf(reason)}`)
      }
      await new Promise((resolve) => setTimeout(resolve, WEBHOOK_PAUSE * 2 ** (tries - 1)))
    }
  }
}
