/**
 * Every rule of authentication (tasks 4, 5, 8 to 10, 12, 13 and 16 to 18). It knows nothing of HTTP, and of the store only
 * the public methods of DB.
 */
import { randomUUID } from 'node:crypto'
import { hash, verify } from '@node-rs/bcrypt'
import { DB, EmailTaken, NoResultFound, StoreError } from './db.ts'
import { isTooLong, type User, ValueError } from './user.ts'

export { StoreError, ValueError }

/** An email or password that cannot be registered; the message says why, and is meant for the client. */
export class InvalidInput extends ValueError {
  override name = 'InvalidInput'
}

/** How an Auth works; see the README's table of configuration. */
export type AuthOptions = {
  /** `file:PATH` or `memory:` */
  databaseUrl: string
  /** bcrypt's work factor, 4 to 31: each step doubles the time. */
  bcryptCost: number
  /** Seconds that a session lives. */
  sessionTtl: number
  /** Seconds that a reset token lives. */
  resetTtl: number
}

/** Registers users, checks passwords, and gives out and takes back sessions and reset tokens. */
export class Auth {
  readonly #db: DB
  readonly #options: AuthOptions

  constructor(options: AuthOptions) {
    this.#db = new DB(options.databaseUrl)
    this.#options = options
  }

  /** Opens the store. */
  open(): Promise<void> {
    return this.#db.open()
  }

  /** Closes the store; everything that was acknowledged is in it. */
  close(): Promise<void> {
    return this.#db.close()
  }

  /**
   * Adds a user (task 5).
   * @throws {InvalidInput} when the email or the password breaks a rule
   * @throws {ValueError} when the email is taken
   */
  async registerUser(email: string, password: string): Promise<User> {
    checkEmail(email)
    checkPassword(password)
    try {
      // The search spares a hash; the store decides, as another registration may come in between.
      if ((await this.findUser(email)) !== null) throw new EmailTaken()
      return await this.#db.addUser(email, await _hashPassword(password, this.#options.bcryptCost))
    } catch (error) {
      if (error instanceof EmailTaken) throw new ValueError(`User ${email} already exists`)
      throw error
    }
  }

  /** The user with this email, whatever its case, or `null`. */
  findUser(email: string): Promise<User | null> {
    return this.#find({ email })
  }

  /** Tells whether there is a user with this email and this password (task 8). */
  async validLogin(email: string, password: string): Promise<boolean> {
    const user = await this.findUser(email)
    return user !== null && fitsBcrypt(password) && (await verify(password, user.hashed_password))
  }

  /** Begins a session (task 10) in place of an older one: its ID, or `null` for an unknown email. */
  async createSession(email: string): Promise<string | null> {
    const user = await this.findUser(email)
    if (user === null) return null
    const session_id = _generateUuid()
    await this.#db.updateUser(user.id, { session_id, session_expires_at: now() + this.#options.sessionTtl })
    return session_id
  }

  /** The user whose session this is (task 12), or `null`. */
  async getUserFromSessionId(sessionId: string | null | undefined): Promise<User | null> {
    if (!sessionId) return null
    return this.#find({ session_id: sessionId })
  }

  /** Ends a user's session (task 13). */
  async destroySession(userId: number): Promise<void> {
    await this.#db.updateUser(userId, { session_id: null, session_expires_at: null })
  }

  /**
   * A new reset token (task 16) in place of an older one.
   * @throws {ValueError} when the email is unknown
   */
  async getResetPasswordToken(email: string): Promise<string> {
    const user = await this.findUser(email)
    if (user === null) throw new ValueError(`User ${email} does not exist`)
    const reset_token = _generateUuid()
    await this.#db.updateUser(user.id, { reset_token, reset_expires_at: now() + this.#options.resetTtl })
    return reset_token
  }

  /**
   * Sets a new password (task 18). The token works once: of several uses at once, one wins.
   * @throws {InvalidInput} when the password breaks a rule
   * @throws {ValueError} when the token is unknown
   */
  async updatePassword(resetToken: string, password: string): Promise<void> {
    checkPassword(password)
    const user = await this.#find({ reset_token: resetToken })
    if (user === null) throw new ValueError('reset token is unknown')
    const hashed_password = await _hashPassword(password, this.#options.bcryptCost)
    try {
      await this.#db.updateUser(
        user.id,
        { hashed_password, reset_token: null, reset_expires_at: null },
        { reset_token: resetToken },
      )
    } catch (error) {
      if (error instanceof NoResultFound) throw new ValueError('reset token is unknown')
      throw error
    }
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
}

/**
 * A salted bcrypt hash of the password, `$2b$12$…` (task 4).
 * @param cost bcrypt's work factor, 4 to 31
 */
export function _hashPassword(password: string, cost = 12): Promise<string> {
  return hash(password, { cost, rejectLongPasswords: true })
}

/** A new random UUID, version 4 (task 9): 122 bits from the system's random generator. */
export function _generateUuid(): string {
  return randomUUID()
}

/** Throws `InvalidInput` unless somebody can register with this email. */
function checkEmail(email: string): void {
  if (!email.includes('@')) throw new InvalidInput('email has no @')
  if (isTooLong(email)) throw new InvalidInput('email is longer than 250 characters')
  if (/[\s\p{Cc}]/u.test(email)) throw new InvalidInput('email has a space or a control character in it')
}

/** Throws `InvalidInput` unless somebody can register with this password. */
function checkPassword(password: string): void {
  if (!fitsBcrypt(password)) throw new InvalidInput('password is longer than 72 bytes')
}

/** bcrypt reads 72 bytes: longer passwords that begin alike would all be one (OWASP, Password Storage Cheat Sheet). */
function fitsBcrypt(password: string): boolean {
  return Buffer.byteLength(password) <= 72
}

/** The time in Unix seconds. */
function now(): number {
  return Math.floor(Date.now() / 1000)
}
