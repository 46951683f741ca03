/**
 * Every rule of authentication (tasks 4, 5, 8 to 10, 12, 13 and 16 to 18). It knows nothing of HTTP, and of the store only
 * the public methods of DB. The rules follow the Copenhagen Book and OWASP's cheat sheets.
 */
import { hash as digestOf, randomUUID } from 'node:crypto'
import { DB, EmailTaken, NoResultFound } from './db.ts'
import { Overloaded } from './lib/auth/errors.ts'
import { FailedLogins } from './lib/auth/failed-logins.ts'
import { HashQueue } from './lib/auth/hash-queue.ts'
import { checkClient, checkNewEmail, checkNewPassword, checkString } from './lib/auth/input.ts'
import { AUTH_OPTIONS, type AuthOptions, readOptions } from './lib/auth/options.ts'
import { Passwords } from './lib/auth/passwords.ts'
import { type User, ValueError, withoutPassword } from './user.ts'

export { StoreError } from './db.ts'
export { InvalidInput, Overloaded, TooManyFailures } from './lib/auth/errors.ts'
export { AUTH_OPTIONS, type AuthOptions } from './lib/auth/options.ts'
export { ValueError } from './user.ts'

/** Who asks: the address that failed logins are counted for, and a signal that aborts when the client hangs up. */
export type Client = { address?: string; signal?: AbortSignal }

/** Registers users, checks passwords, and gives out and takes back sessions and reset tokens. */
export class Auth {
  readonly #db: DB
  readonly #options: AuthOptions
  readonly #passwords: Passwords
  readonly #hashing: HashQueue
  readonly #failures: FailedLogins

  /**
   * Nothing is opened yet: the first call does that.
   * @throws {ValueError} names the option that is wrong or unknown, its value, and what is allowed
   */
  constructor(options: Partial<AuthOptions> = {}) {
    this.#options = readOptions(options)
    this.#db = openable(this.#options.databaseUrl)
    this.#passwords = new Passwords(this.#options.bcryptCost)
    this.#hashing = new HashQueue(this.#passwords.expectedDuration)
    this.#failures = new FailedLogins(this.#options.loginFailures)
  }

  /** Opens the store. */
  open(): Promise<void> {
    return this.#db.open()
  }

  /** Closes the store; everything that was acknowledged is in it. */
  close(): Promise<void> {
    return this.#db.close()
  }

  /** Tells whether the store answers now. */
  isHealthy(): Promise<boolean> {
    return this.#db.check().then(
      () => true,
      () => false,
    )
  }

  /** How many users there are. */
  countUsers(): Promise<number> {
    return this.#db.countUsers()
  }

  /**
   * Adds a user (task 5).
   * @throws {InvalidInput} when the email or the password breaks a rule
   * @throws {ValueError} when the email is taken
   * @throws {Overloaded} when too many passwords wait to be hashed
   */
  async registerUser(email: string, password: string, client: Client = {}): Promise<User> {
    checkNewEmail(email)
    checkNewPassword('password', password, this.#options.passwordMin)
    checkClient(client)
    try {
      // The search spares a hash; the store decides, as another registration may come in between.
      if ((await this.findUser(email)) !== null) throw new EmailTaken()
      return await this.#db.addUser(email, await this.#hash(password, client.signal))
    } catch (error) {
      if (error instanceof EmailTaken) throw new ValueError(`User ${email} already exists`)
      throw error
    }
  }

  /** The user with this email, whatever its case, or `null`. */
  async findUser(email: string): Promise<User | null> {
    checkString('email', email)
    return this.#find({ email })
  }

  /**
   * Tells whether there is a user with this email and this password (task 8).
   * @throws {TooManyFailures} when too many logins from the client's address have failed, even if this one would not
   * @throws {Overloaded} when too many passwords wait to be hashed
   */
  async validLogin(email: string, password: string, client: Client = {}): Promise<boolean> {
    return (await this.#authenticate(email, password, client)) !== null
  }

  /** Begins a session (task 10) in place of an older one: its ID, or `null` for an unknown email. */
  async createSession(email: string): Promise<string | null> {
    const user = await this.findUser(email)
    return user && this.#beginSession(user)
  }

  /** Both in one (task 11): the session's ID, or `null`; a password that is changed meanwhile begins none. */
  async logIn(email: string, password: string, client: Client = {}): Promise<string | null> {
    const user = await this.#authenticate(email, password, client)
    return user && this.#beginSession(user)
  }

  /** The user whose session this is (task 12), or `null`; also when it has expired. */
  async getUserFromSessionId(sessionId: string | null | undefined): Promise<User | null> {
    if (sessionId === null || sessionId === undefined) return null
    checkString('sessionId', sessionId)
    const user = await this.#find({ session_id: digest(sessionId) })
    return isLive(user?.session_expires_at) ? user : null
  }

  /** Ends a user's session (task 13); does nothing for an unknown user. */
  async destroySession(userId: number): Promise<void> {
    await this.#update(userId, NO_SESSION)
  }

  /**
   * A new reset token (task 16) in place of an older one.
   * @throws {ValueError} when the email is unknown
   */
  async getResetPasswordToken(email: string): Promise<string> {
    const user = await this.findUser(email)
    if (user === null) throw new ValueError(`User ${email} does not exist`)
    const resetToken = _generateUuid()
    const reset_expires_at = now() + this.#options.resetTtl
    await this.#db.updateUser(user.id, { reset_token: digest(resetToken), reset_expires_at })
    return resetToken
  }

  /**
   * Sets a new password (task 18) and ends the user's session, which may be a thief's. The token works once: of several uses
   * at once, one wins.
   * @param email refuses the token of another user, if given
   * @throws {InvalidInput} when the password breaks a rule
   * @throws {ValueError} when the token is unknown, used, replaced or expired
   * @throws {Overloaded} when too many passwords wait to be hashed
   */
  async updatePassword(resetToken: string, password: string, email?: string, client: Client = {}): Promise<void> {
    checkNewPassword('password', password, this.#options.passwordMin)
    if (email !== undefined) checkString('email', email)
    checkClient(client)
    const user =
      typeof resetToken === 'string'
        ? await this.#find({ reset_token: digest(resetToken), ...(email !== undefined && { email }) })
        : null
    const unknown = new ValueError('no such reset token')
    if (user === null || !isLive(user.reset_expires_at)) throw unknown
    const hashed_password = await this.#hash(password, client.signal)
    const isStillThere = await this.#update(
      user.id,
      { hashed_password, ...NO_TOKENS },
      { reset_token: user.reset_token },
    )
    if (!isStillThere) throw unknown
  }

  /**
   * Sets a new password for a user who knows the present one. It ends the session and takes back the reset token, as either
   * may be a thief's; the user goes on with the session whose ID it returns, or gets `null` if the present password is wrong,
   * which counts as a failed login.
   * @throws {InvalidInput} when the new password breaks a rule
   * @throws {TooManyFailures} @throws {Overloaded} as `logIn` does
   */
  async changePassword(
    userId: number,
    password: string,
    newPassword: string,
    client: Client = {},
  ): Promise<string | null> {
    if (!Number.isInteger(userId)) throw new ValueError('userId must be an integer')
    checkString('password', password)
    checkNewPassword('newPassword', newPassword, this.#options.passwordMin)
    checkClient(client)
    const user = await this.#find({ id: userId })
    if (user === null || !(await this.#isRight(user, password, client))) return null
    const hashed_password = await this.#hash(newPassword, client.signal)
    const [sessionId, session] = this.#newSession()
    const { hashed_password: checked } = user
    const changes = { hashed_password, ...NO_TOKENS, ...session }
    return (await this.#update(userId, changes, { hashed_password: checked })) ? sessionId : null
  }

  /** The user whose email and password these are, or `null`; throws as `validLogin` does. */
  async #authenticate(email: string, password: string, client: Client): Promise<User | null> {
    checkString('password', password)
    checkClient(client)
    const user = await this.findUser(email)
    if (!(await this.#isRight(user, password, client)) || user === null) return null
    return this.#passwords.isOutdated(user.hashed_password) ? this.#rehash(user, password) : user
  }

  /** Tells whether a password is the user's, and counts a failure if not; nobody's is wrong, after as long a time. */
  async #isRight(user: User | null, password: string, { address, signal }: Client): Promise<boolean> {
    if (address !== undefined) this.#failures.check(address)
    const matches = await this.#hashing.run(() => {
      if (address !== undefined) this.#failures.check(address)
      return this.#passwords.verify(password, user?.hashed_password)
    }, signal)
    // Again: of many guesses at once, none is answered beyond those that one after the other would have been.
    if (address !== undefined) this.#failures.check(address)
    if (user !== null && matches) return true
    if (address !== undefined) this.#failures.add(address)
    return false
  }

  /** A new session for a user whose password is still the same: a reset meanwhile is to shut out who knew the old one. */
  async #beginSession({ id, hashed_password }: User): Promise<string | null> {
    const [sessionId, session] = this.#newSession()
    return (await this.#update(id, session, { hashed_password })) ? sessionId : null
  }

  /** The ID of a new session, and the columns that hold it. */
  #newSession(): [string, Partial<User>] {
    const sessionId = _generateUuid()
    return [sessionId, { session_id: digest(sessionId), session_expires_at: now() + this.#options.sessionTtl }]
  }

  /** `findUserBy`, with `null` for nobody. */
  async #find(attributes: Partial<User>): Promise<User | null> {
    try {
      return await this.#db.findUserBy(attributes)
    } catch (error) {
      if (error instanceof NoResultFound) return null
      throw error
    }
  }

  /** `updateUser`, with `false` for a row that is not as expected. */
  async #update(userId: number, changes: Partial<User>, expected: Partial<User> = {}): Promise<boolean> {
    try {
      await this.#db.updateUser(userId, changes, expected)
      return true
    } catch (error) {
      if (error instanceof NoResultFound) return false
      throw error
    }
  }

  /** Hashes a password when its turn has come. */
  #hash(password: string, signal: AbortSignal | undefined): Promise<string> {
    return this.#hashing.run(() => this.#passwords.hash(password), signal)
  }

  /** Gives a password the cost that is configured now; a login is the only time when it is there to be hashed. */
  async #rehash(user: User, password: string): Promise<User | null> {
    try {
      const hashed_password = await this.#hash(password, undefined)
      const isStill = await this.#update(user.id, { hashed_password }, { hashed_password: user.hashed_password })
      return isStill ? { ...user, hashed_password } : null
    } catch (error) {
      // Under load it waits for the next login.
      if (error instanceof Overloaded) return user
      throw error
    }
  }
}

/** A DB for this URL; what is wrong with the URL is told as of any other option. */
function openable(databaseUrl: string): DB {
  try {
    return new DB(databaseUrl)
  } catch (error) {
    if (!(error instanceof ValueError)) throw error
    throw new ValueError(`databaseUrl=${withoutPassword(String(databaseUrl))}: ${error.message}`)
  }
}

/** The columns of a user without a session. */
const NO_SESSION = { session_id: null, session_expires_at: null }

/** The columns of a user with neither a session nor a reset token. */
const NO_TOKENS = { ...NO_SESSION, reset_token: null, reset_expires_at: null }

/**
 * A salted bcrypt hash of a password, `$2b$12$…` (task 4).
 * @param cost bcrypt's work factor, 4 to 31
 * @throws {ValueError} when bcrypt would take the password for another one, as it does beyond 72 bytes
 */
export async function _hashPassword(password: string, cost: number = AUTH_OPTIONS.bcryptCost.default): Promise<string> {
  checkNewPassword('password', password, AUTH_OPTIONS.passwordMin.min)
  return new Passwords(readOptions({ bcryptCost: cost }).bcryptCost).hash(password)
}

/** A new random UUID, version 4 (task 9): 122 bits from the system's random generator. */
export function _generateUuid(): string {
  return randomUUID()
}

/**
 * What the store holds of a token: who reads the store cannot use it. SHA-256 is enough, as nobody can go through 2^122
 * tokens (Copenhagen Book, Server-side tokens).
 */
function digest(token: string): string {
  const known = digests.get(token)
  if (known !== undefined) return known
  const digest = digestOf('sha256', token)
  if (digests.size >= MOST_DIGESTS) digests.clear()
  if (token.length === UUID_LENGTH) digests.set(token, digest)
  return digest
}

/** Digests of tokens that came in lately: a live session comes again and again. */
const digests = new Map<string, string>()
/** How many digests are kept, and of what length the tokens are: others are not worth a place. */
const MOST_DIGESTS = 10_000
const UUID_LENGTH = 36

/** Tells whether an expiry lies ahead. Without one, a token has expired. */
function isLive(expiresAt: number | null | undefined): boolean {
  return typeof expiresAt === 'number' && expiresAt > now()
}

/** The time in Unix seconds. */
function now(): number {
  return Math.floor(Date.now() / 1000)
}
