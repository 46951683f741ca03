/** Reset tokens on their way to their owners. */
import { unescape } from 'node:querystring'
import { setTimeout as delay } from 'node:timers/promises'
import type { Auth, User } from '../../auth.ts'
import { isTooLong } from '../../user.ts'
import { messageOf, ValueError } from '../errors.ts'

/** When mails are sent and tried again, in milliseconds. */
export const TIMING = {
  /** An email is looked up, and its mail sent, after a random delay of up to this. */
  spreadMs: 1000,
  /** How long the receiver may take to answer. */
  timeoutMs: 5000,
  /** The pause after the first failure; it doubles each time. */
  pauseMs: 500,
}
const MAX_TRIES = 4
/** How many mails are sent simultaneously; the others wait. */
const MAX_SENDING = 100
/**
 * How many emails may wait for their lookup, and how many mails to be sent. A lookup waits for half a second on
 * average, which makes room for 60,000 requests a second, more than a server takes. At their longest, emails use 50 MB.
 */
const MAX_WAITING = 30_000

/**
 * Sends reset tokens to the operator's mailer, in the background. Before the reply to a request, nothing depends on
 * whether its email is known, so the time of the reply tells nothing. An email that is asked for many times waits for
 * its lookup only once, and a mail is queued only if the lookup finds a user. So requests for unknown emails delay
 * nobody's mail.
 */
export class Webhook {
  readonly #auth: Auth
  readonly #url: URL
  readonly #timing: typeof TIMING
  readonly #headers: Record<string, string> = { 'Content-Type': 'application/json' }
  /** The emails that wait for their lookup. */
  readonly #asked = new Set<string>()
  /** The users whose mails are next, by id. */
  readonly #due = new Map<number, User>()
  #sending = 0
  /** The work in progress. None of these promises rejects. */
  readonly #work = new Set<Promise<void>>()

  /**
   * @param url receives a POST for each mail, with Basic authentication (RFC 7617) if it has a user and a password
   * @throws {ValueError} as `checkReceiver` does
   */
  constructor(auth: Auth, url: string, timing = TIMING) {
    checkReceiver(url)
    this.#auth = auth
    this.#url = new URL(url)
    this.#timing = timing
    const { username, password } = this.#url
    if (username === '' && password === '') return
    const credentials = Buffer.from(`${unescape(username)}:${unescape(password)}`).toString('base64')
    this.#headers['Authorization'] = `Basic ${credentials}`
    this.#url.username = this.#url.password = ''
  }

  /** Mails a token to the user with this email, if any, unless one was made for that user in the last minute. */
  send(email: string): void {
    if (isTooLong(email) || this.#asked.has(email)) return
    if (this.#asked.size >= MAX_WAITING) return warn(`dropped a request, as ${MAX_WAITING} are waiting already`)
    // A copy: part of a string keeps all of it in memory, here the whole form.
    this.#run(this.#ask(Buffer.from(email).toString()))
  }

  /** Resolves when nothing waits and nothing is on its way. */
  async settled(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work)
  }

  /** Warns on stderr if any mail is unsent: it is lost when the process ends. */
  reportUnsent(): void {
    if (this.#work.size > 0) warn('stopped before every mail was sent')
  }

  #run(promise: Promise<void>): void {
    const work = promise.catch((error) => warn(messageOf(error))).finally(() => this.#work.delete(work))
    this.#work.add(work)
  }

  async #ask(email: string): Promise<void> {
    this.#asked.add(email)
    await delay(Math.random() * this.#timing.spreadMs)
    const user = await this.#auth.findUser(email).finally(() => this.#asked.delete(email))
    if (user === null) return
    if (this.#due.size >= MAX_WAITING) return warn(`dropped a mail, as ${MAX_WAITING} are waiting already`)
    this.#due.set(user.id, user)
    if (this.#sending < MAX_SENDING) this.#run(this.#sendDue())
  }

  /** Sends what is due, one mail after the other; up to `MAX_SENDING` of these calls run simultaneously. */
  async #sendDue(): Promise<void> {
    this.#sending++
    // The iterator of a Map skips what others have taken, and reaches what is added meanwhile.
    for (const [id, user] of this.#due) {
      this.#due.delete(id)
      await this.#mail(user).catch((error) => warn(messageOf(error)))
    }
    this.#sending--
  }

  async #mail(user: User): Promise<void> {
    const made = await this.#auth.createMailToken(user)
    if (made === null) return
    const body = JSON.stringify({ email: user.email, reset_token: made.resetToken, expires_at: made.expiresAt })
    for (let tries = 1; ; tries++) {
      const reason = await this.#post(body).catch((error) => messageOf(error?.cause ?? error))
      if (reason === null) return
      if (tries === MAX_TRIES) throw new Error(`gave up after ${tries} tries: ${reason}`)
      warn(`try ${tries} of ${MAX_TRIES} failed: ${reason}`)
      await delay(this.#timing.pauseMs * 2 ** (tries - 1))
    }
  }

  /** Sends a body once. Returns why it was not received, or `null`. */
  async #post(body: string): Promise<string | null> {
    const signal = AbortSignal.timeout(this.#timing.timeoutMs)
    const response = await fetch(this.#url, {
      method: 'POST',
      headers: this.#headers,
      body,
      signal,
      redirect: 'manual',
    })
    // A body that nobody reads would keep the connection open.
    await response.body?.cancel()
    return response.ok ? null : `the receiver answered ${response.status}`
  }
}

/** Throws `ValueError` unless mails can be sent to a URL. */
export function checkReceiver(url: string): void {
  if (/^https?:\/\//.test(url) && URL.canParse(url)) return
  throw new ValueError('expected http://… or https://…; write / ? # in a password as %2F %3F %23')
}

function warn(message: string): void {
  console.error(`RESET_WEBHOOK: ${message}`)
}
