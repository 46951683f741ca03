/** All rows in memory, and the Maps that find one immediately. */
import { emailKey, isColumn, type User } from '../../user.ts'
import type { Attributes } from './engine.ts'

/**
 * All rows, in the order of their ids. Rows are found by id, email, session or reset token immediately, by anything else one
 * after the other.
 *
 * An index is one Map. When a Map of a million entries doubles, the event loop may pause for about a tenth of a second;
 * that happens once per doubling.
 */
export class Rows {
  readonly all: User[] = []
  readonly #byEmail = new Map<string, User>()
  readonly #bySession: Index = new Map()
  readonly #byToken: Index = new Map()

  #lastId: number

  /** `lastId` is the highest id that was ever given, 0 if that is not known: ids do not come back. */
  constructor(lastId = 0) {
    this.#lastId = lastId
  }

  /** The highest id that was ever given, also to a row that is not there any more; 0 if none was. */
  get lastId(): number {
    return this.#lastId
  }

  /** Adds a row whose id is higher than all others. Returns false if its email is another's: these rows are then of no use. */
  add(user: User): boolean {
    // A look before would make a start longer by a fifteenth.
    const emails = this.#byEmail.size
    this.#byEmail.set(emailKey(user.email), user)
    if (this.#byEmail.size === emails) return false
    this.all.push(user)
    this.#lastId = Math.max(this.#lastId, user.id)
    if (user.session_id !== null) link(this.#bySession, user.session_id, user)
    if (user.reset_token !== null) link(this.#byToken, user.reset_token, user)
    return true
  }

  /** Takes back the row that was added last, and its id, which nobody has been told. */
  removeLast(): void {
    const user = this.all.pop()
    if (user === undefined) return
    this.#lastId = user.id - 1
    this.#byEmail.delete(emailKey(user.email))
    if (user.session_id !== null) unlink(this.#bySession, user.session_id, user)
    if (user.reset_token !== null) unlink(this.#byToken, user.reset_token, user)
  }

  /** Changes a row, and how it is found. A changed email must be new. */
  change(user: User, attributes: Attributes): void {
    const { email, session_id, reset_token } = user
    Object.assign(user, attributes)
    if (user.email !== email) {
      this.#byEmail.delete(emailKey(email))
      this.#byEmail.set(emailKey(user.email), user)
    }
    if (user.session_id !== session_id) {
      if (session_id !== null) unlink(this.#bySession, session_id, user)
      if (user.session_id !== null) link(this.#bySession, user.session_id, user)
    }
    if (user.reset_token !== reset_token) {
      if (reset_token !== null) unlink(this.#byToken, reset_token, user)
      if (user.reset_token !== null) link(this.#byToken, user.reset_token, user)
    }
  }

  /** The row with the lowest id that has all of the attributes. */
  find(attributes: Attributes): User | undefined {
    for (const user of this.#candidates(attributes)) if (hasAll(user, attributes)) return user
    return undefined
  }

  /** The rows that may have the attributes, in the order of their ids. */
  #candidates({ id, email, session_id, reset_token }: Attributes): readonly User[] {
    if (id !== undefined) return toArray(this.#byId(id))
    if (email !== undefined) return toArray(this.#byEmail.get(emailKey(email)))
    if (typeof session_id === 'string') return toArray(this.#bySession.get(session_id))
    if (typeof reset_token === 'string') return toArray(this.#byToken.get(reset_token))
    return this.all
  }

  /** The row with an id: at the place of its id if no id was left out before it. */
  #byId(id: number): User | undefined {
    const user = this.all[id - 1]
    if (user?.id === id) return user
    let [low, high] = [0, this.all.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.all[middle]?.id ?? 0) < id) low = middle + 1
      else high = middle
    }
    return this.all[low]?.id === id ? this.all[low] : undefined
  }
}

/** From a value to its row, or, for a value that a hand-made table has more than once, to its rows. */
type Index = Map<string, User | Set<User>>

/** Lets a row be found by a value. */
function link(index: Index, value: string, user: User): void {
  const others = index.get(value)
  if (others === undefined) index.set(value, user)
  else if (others instanceof Set) others.add(user)
  else index.set(value, new Set([others, user]))
}

/** Lets a row be found by a value no more. */
function unlink(index: Index, value: string, user: User): void {
  const users = index.get(value)
  if (users instanceof Set && users.size > 1) users.delete(user)
  else index.delete(value)
}

/** Rows in the order of their ids. */
function toArray(rows: User | Set<User> | undefined): readonly User[] {
  if (rows === undefined) return []
  return rows instanceof Set ? [...rows].sort((a, b) => a.id - b.id) : [rows]
}

/** True if a row has all of the attributes. */
function hasAll(user: User, attributes: Attributes): boolean {
  for (const name in attributes) {
    if (!isColumn(name)) return false
    if (name === 'email') {
      if (emailKey(user.email) !== emailKey(attributes.email ?? '')) return false
    } else if (user[name] !== attributes[name]) return false
  }
  return true
}
