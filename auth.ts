/**
 * Every rule of authentication (tasks 4, 5, 8 to 10, 12, 13, 16 and 18), after the Copenhagen Book and OWASP's cheat
 * sheets. Auth knows nothing about HTTP, and uses only DB's public methods.
 *
 * Three things prove who somebody is: a password; the ID of a session, until it ends; a reset token, once. People
 * choose passwords that can be guessed, so those are stored as slow, salted hashes. Session IDs and reset tokens are
 * random, they expire, and only their digests are stored: whoever reads the store cannot use them.
 */
import { hash, randomUUID } from 'node:crypto'
import { DB, EmailTaken, NoResultFound, StoreError } from './db.ts'
import { Overloaded, UnknownEmail, UnknownToken } from './lib/auth/errors.ts'
import { FailedLogins } from './lib/auth/failed-logins.ts'
import { HashQueue } from './lib/auth/hash-queue.ts'
import { checkNewEmail, checkNewPassword, checkString, type Client, copyClient } from './lib/auth/input.ts'
import { AUTH_OPTIONS, type AuthOptions } from './lib/auth/options.ts'
import { BCRYPT_HASH, Passwords } from './lib/auth/passwords.ts'
import { ValueError } from './lib/errors.ts'
import { readOptions } from './lib/options.ts'
import type { User } from './user.ts'

export { EmailTaken, StoreError } from './db.ts'
export { InvalidInput, Overloaded, TooManyFailures, UnknownEmail, UnknownToken } from './lib/auth/errors.ts'
export type { Client } from './lib/auth/input.ts'
export { AUTH_OPTIONS, type AuthOptions } from './lib/auth/options.ts'
export { ValueError } from './lib/errors.ts'
export type { User } from './user.ts'

/** A session: its ID, of which the store has only a digest, and the user it belongs to. */
export type Session = { sessionId: string; user: User }

/** A reset token, of which the store has only a digest, and when it expires, in Unix seconds. */
export type ResetToken = { resetToken: string; expiresAt: number }

const NO_SESSION = { session_id: null, session_expires_at: null }
/** The expiry stays, because `createMailToken` computes from it when the token was made. */
const NO_TOKEN = { reset_token: null }
/** The least time between two mails with a reset token to one user, in seconds. */
const MAIL_PAUSE_S = 60

/**
 * Registers users, checks passwords, begins and ends sessions, and hands out reset tokens. Any method may also throw
 * `StoreError` when the store cannot be read or written now, `ValueError` for an argument of the wrong type, and, if
 * it takes a password, `Overloaded` when too many passwords wait to be hashed.
 */
export class Auth {
  /** The options in force: those given, and the defaults of the others. */
  readonly options: AuthOptions
  readonly #db: DB
  readonly #passwords: Passwords
  readonly #hashQueue: HashQueue
  readonly #failures: FailedLogins

  /**
   * Opens nothing yet: the first call opens the store.
   * @throws {ValueError} names the option that is wrong or unknown, its value, and what is allowed
   */
  constructor(options: Partial<AuthOptions> = {}) {
    this.options = readOptions(AUTH_OPTIONS, options)
    this.#db = new DB(this.options.databaseUrl)
    this.#passwords = new Passwords(this.options.bcryptCost)
    this.#hashQueue = new HashQueue(this.#passwords.expectedDurationMs)
    this.#failures = new FailedLogins(this.options)
  }

  /** Opens the store now instead of at the first call. May be called again, even after opening failed. */
  open(): Promise<void> {
    return this.#db.open()
  }

  /** Closes the store for good; every acknowledged change is in it. May be called at any time, twice, or never. */
  close(): Promise<void> {
    return this.#db.close()
  }

  /** False while the store does not answer in time, is a read-only database, or is a file this process has lost. */
  isHealthy(): Promise<boolean> {
    return this.#db.check().then(
      () => true,
      () => false,
    )
  }

  /** True while passwords are being hashed, which nothing can stop. */
  get isHashing(): boolean {
    return this.#hashQueue.isRunning
  }

  /** How many users there are. */
  countUsers(): Promise<number> {
    return this.#db.countUsers()
  }

  /** How many users must reset their password to log in, because bcrypt cannot check their hash. Reads every row. */
  countForeignHashes(): Promise<number> {
    return this.#db.countUsers(BCRYPT_HASH)
  }

  /**
   * Adds a user (task 5).
   * @throws {InvalidInput} when the email or the password breaks a rule
   * @throws {EmailTaken} when another user has the email; of two simultaneous registrations, one wins
   */
  async registerUser(email: string, password: string, client: Client = {}): Promise<User> {
    checkNewEmail(email)
    checkNewPassword('password', password, this.options.passwordMin)
    client = copyClient(client)
    // Look first, to save the hash for a taken email. Between simultaneous registrations the store decides.
    if ((await this.#find({ email })) !== null) throw new EmailTaken(email)
    return this.#db.addUser(email, await this.#hash(password, client))
  }

  /** The user with this email, compared as `emailKey` says, or `null`. */
  async findUser(email: string): Promise<User | null> {
    checkString('email', email)
    return this.#find({ email })
  }

  /**
   * True if there is a user with this email and this password (task 8).
   * @throws {TooManyFailures} when the client's address or the account has no tries left, even if the password is right
   */
  async validLogin(email: string, password: string, client: Client = {}): Promise<boolean> {
    return (await this.#authenticate(email, password, copyClient(client))) !== null
  }

  /** Begins a session (task 10), which replaces an older one. Returns its ID, or `null` for an unknown email. */
  async createSession(email: string): Promise<string | null> {
    const user = await this.findUser(email)
    return user && this.#beginSession(user.id)
  }

  /** Begins a session if the password is right. Returns the session ID, or `null`. Throws as `validLogin` does. */
  async logIn(email: string, password: string, client: Client = {}): Promise<string | null> {
    return (await this.startSession(email, password, client))?.sessionId ?? null
  }

  /** `logIn` for callers that also want the user; its row was read before the session was stored. */
  async startSession(email: string, password: string, client: Client = {}): Promise<Session | null> {
    client = copyClient(client)
    const user = await this.#authenticate(email, password, client)
    if (user === null) return null
    const sessionId = await this.#beginSession(user.id, {}, { hashed_password: user.hashed_password })
    // If the hash has changed meanwhile, check again: after a reset the old password is wrong, after a rehash it is
    // still right. Each further try takes another change of the hash.
    return sessionId === null ? this.startSession(email, password, client) : { sessionId, user }
  }

  /**
   * The user whose session this is (task 12), or `null` if there is none or it has expired. Use does not extend a
   * session: its expiry is set when it begins, and the server's cookie expires with it (`sessionCookie`). To extend
   * both, `/verify` would have to set the cookie again, as `showForm` in the front door does, and proxies would have to
   * pass it on.
   */
  async getUserFromSessionId(sessionId: string | null | undefined): Promise<User | null> {
    if (sessionId === null || sessionId === undefined) return null
    checkString('sessionId', sessionId)
    const user = await this.#find({ session_id: digest(sessionId) })
    return user !== null && isLive(user.session_expires_at) ? user : null
  }

  /** Ends this session, but no later one of the user. Returns its user, or `null` if it has already ended. */
  async logOut(sessionId: string | null | undefined): Promise<User | null> {
    const user = await this.getUserFromSessionId(sessionId)
    if (user === null) return null
    return (await this.#update(user.id, NO_SESSION, { session_id: user.session_id })) ? user : null
  }

  /** Ends a user's session (task 13), whichever it is; does nothing for an unknown user. */
  async destroySession(userId: number): Promise<void> {
    await this.#update(userId, NO_SESSION)
  }

  /**
   * Makes a reset token (task 16), which replaces an older one, and which a login leaves valid. Anyone who has it can
   * set the user's password: give it only to the owner of the email.
   * @throws {UnknownEmail} when no user has the email
   */
  async getResetPasswordToken(email: string): Promise<string> {
    const user = await this.findUser(email)
    const made = user && (await this.createResetToken(user))
    if (made === null) throw new UnknownEmail(email)
    return made.resetToken
  }

  /**
   * `getResetPasswordToken` for callers that have the user.
   * @param expected values that the row must still have; otherwise the result is `null`
   */
  async createResetToken({ id }: User, expected: Partial<User> = {}): Promise<ResetToken | null> {
    const resetToken = _generateUuid()
    const expiresAt = now() + this.options.resetTtl
    const columns = { reset_token: digest(resetToken), reset_expires_at: expiresAt }
    return (await this.#update(id, columns, expected)) ? { resetToken, expiresAt } : null
  }

  /**
   * Makes a reset token that is to be mailed. Returns `null` within a minute of the last token: the link mailed with it
   * stays good, and nobody can flood a mailbox. The time comes from the store, so the limit also holds across processes
   * and restarts.
   */
  async createMailToken(user: User): Promise<ResetToken | null> {
    const { reset_token, reset_expires_at } = user
    const age = now() - ((reset_expires_at ?? 0) - this.options.resetTtl)
    // abs: after RESET_TTL is lowered, the last token may seem to be from the future; it must not block mails for long.
    if (reset_expires_at !== null && Math.abs(age) <= MAIL_PAUSE_S) return null
    return this.createResetToken(user, { reset_token })
  }

  /**
   * Sets a new password (task 18). It ends the user's session, which may be a thief's, and clears the account's failed
   * logins. The token works once: of several simultaneous uses, one wins.
   * @param email if given, only a token of this user is accepted
   * @throws {InvalidInput} when the password breaks a rule
   * @throws {UnknownToken} when the token was never made, or has been used or replaced, or has expired
   */
  async updatePassword(resetToken: string, password: string, email?: string, client: Client = {}): Promise<void> {
    if ((await this.resetPassword(resetToken, password, email, client)) === null) throw new UnknownToken()
  }

  /** `updatePassword` for callers that also want the user, as read before the change; `null` for an unknown token. */
  async resetPassword(resetToken: string, password: string, email?: string, client: Client = {}): Promise<User | null> {
    checkNewPassword('new_password', password, this.options.passwordMin)
    if (email !== undefined) checkString('email', email)
    client = copyClient(client)
    if (typeof resetToken !== 'string') return null
    const reset_token = digest(resetToken)
    const user = await this.#find({ reset_token, ...(email !== undefined && { email }) })
    if (user === null || !isLive(user.reset_expires_at)) return null
    const hashed_password = await this.#hash(password, client)
    const isSet = await this.#update(user.id, { hashed_password, ...NO_SESSION, ...NO_TOKEN }, { reset_token })
    if (isSet) this.#failures.clear(user.email)
    return isSet ? user : null
  }

  /**
   * Sets a new password for a user who knows the current one. It ends the older session and the reset token, because
   * either may be a thief's. Returns the ID of a new session, or `null` for an unknown user or a wrong password; the
   * latter counts as a failed login.
   * @throws {InvalidInput} when the new password breaks a rule
   * @throws {TooManyFailures} as `validLogin` does
   */
  async changePassword(
    userId: number,
    password: string,
    newPassword: string,
    client: Client = {},
  ): Promise<string | null> {
    if (!Number.isInteger(userId)) throw new ValueError('userId must be an integer')
    checkString('password', password)
    checkNewPassword('new_password', newPassword, this.options.passwordMin)
    client = copyClient(client)
    const user = await this.#find({ id: userId })
    if (user === null || (await this.#verify(user, user.email, password, client)) === 'wrong') return null
    const changes = { hashed_password: await this.#hash(newPassword, client), ...NO_TOKEN }
    const sessionId = await this.#beginSession(userId, changes, { hashed_password: user.hashed_password })
    return sessionId ?? this.changePassword(userId, password, newPassword, client)
  }

  async #authenticate(email: string, password: string, client: Client): Promise<User | null> {
    checkString('password', password)
    const user = await this.findUser(email)
    const answer = await this.#verify(user, email, password, client)
    if (user === null || answer === 'wrong') return null
    return answer === 'outdated' ? this.#rehash(user, password, client) : user
  }

  /**
   * Compares a password with a user's, and counts a failed login if it is wrong. For an unknown email it takes as long
   * and counts the same, so that nobody learns who is registered.
   */
  async #verify(user: User | null, email: string, password: string, client: Client) {
    this.#failures.check(email, client.address)
    const answer = await this.#hashQueue.run(client, () => {
      // Other logins may have failed while this one waited.
      this.#failures.check(email, client.address)
      return this.#passwords.verify(password, user?.hashed_password)
    })
    // Checked again, so that parallel guesses get no more answers than sequential ones.
    this.#failures.check(email, client.address)
    if (answer === 'wrong') this.#failures.add(email, client.address)
    return answer
  }

  /** Rehashes the right password, known only at a login. Returns the user, or `null` if the password has changed. */
  async #rehash(user: User, password: string, client: Client): Promise<User | null> {
    try {
      const hashed_password = await this.#hash(password, client)
      const isUnchanged = await this.#update(user.id, { hashed_password }, { hashed_password: user.hashed_password })
      if (isUnchanged) return Object.assign(user, { hashed_password })
    } catch (error) {
      // Rehashing can wait for the next login.
      if (error instanceof Overloaded || error instanceof StoreError) return user
      throw error
    }
    // Another login may have rehashed it first, or a reset has changed the password. Not in the `try`: if this fails,
    // the password may be an old one.
    return this.#authenticate(user.email, password, client)
  }

  /** Begins a session and makes other changes in the same update. Returns its ID, or `null` if `#update` is `false`. */
  async #beginSession(id: number, changes: Partial<User> = {}, expected: Partial<User> = {}): Promise<string | null> {
    const sessionId = _generateUuid()
    const session = { session_id: digest(sessionId), session_expires_at: now() + this.options.sessionTtl }
    return (await this.#update(id, { ...changes, ...session }, expected)) ? sessionId : null
  }

  #hash(password: string, client: Client): Promise<string> {
    return this.#hashQueue.run(client, () => this.#passwords.hash(password))
  }

  /** `findUserBy`, with `null` when there is no such user. */
  #find(attributes: Partial<User>): Promise<User | null> {
    return this.#db.findUserBy(attributes).catch(ifNone(null))
  }

  /** `updateUser`, with `false` when there is no such user, or its row has other values than expected. */
  #update(userId: number, changes: Partial<User>, expected: Partial<User> = {}): Promise<boolean> {
    return this.#db.updateUser(userId, changes, expected).then(() => true, ifNone(false))
  }
}

/** A rejection handler that turns `NoResultFound` into a value. */
function ifNone<T>(value: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof NoResultFound) return value
    throw error
  }
}

/**
 * A salted bcrypt hash of a password, `$2b$12$…` (task 4).
 * @param cost like the option `bcryptCost`
 * @throws {ValueError} when the password is empty, or bcrypt would confuse it with another, as it does over 72 bytes
 */
export async function _hashPassword(password: string, cost: number = AUTH_OPTIONS.bcryptCost.default): Promise<string> {
  checkNewPassword('password', password, AUTH_OPTIONS.passwordMin.min)
  return new Passwords(readOptions(AUTH_OPTIONS, { bcryptCost: cost }).bcryptCost).hash(password)
}

/** A new random UUID, version 4 (task 9): 122 bits from the system's random generator. */
export function _generateUuid(): string {
  return randomUUID()
}

/**
 * A token as the store keeps it. Unlike for a password, a fast hash is enough: nobody can try 2^122 tokens. The store is
 * searched for the digest, so the time of a search tells nothing about the token.
 */
function digest(token: string): string {
  return hash('sha256', token)
}

/** True while an expiry is in the future. Without one, a token has expired. */
function isLive(expiresAt: number | null | undefined): boolean {
  return typeof expiresAt === 'number' && expiresAt > now()
}

/** Unix seconds. */
function now(): number {
  return Math.floor(Date.now() / 1000)
}
