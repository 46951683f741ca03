/** All rows in memory, and the Maps that find one immediately. */
import { emailKey, isColumn, type User } from '../../user.ts'
import type { Attributes } from './engine.ts'

/** Indexed columns that need not be unique: a hand-made table may have a value twice. */
const INDEXED = ['session_id', 'reset_token'] as const

/**
 * All rows, in the order of their ids. A search by id, email, session or reset token takes constant time, or
 * logarithmic for an id if lower ones are missing. Any other looks at every row, as does one for a session or token
 * that several rows have had.
 *
 * When a Map of a million entries doubles its capacity, the event loop may pause for about a tenth of a second.
 */
export class Rows {
  readonly all: User[] = []
  readonly #byEmail = new Map<string, User>()
  readonly #indexes: Record<(typeof INDEXED)[number], Index> = { session_id: new Map(), reset_token: new Map() }
  /** The highest id that was ever given, even if its row is gone, because ids are never reused; 0 if there is none. */
  lastId: number

  constructor(lastId = 0) {
    this.lastId = lastId
  }

  /** Adds a row with the highest id. Returns false if its email is taken; this object is then broken: discard it. */
  add(user: User): boolean {
    // Looking the email up first, instead of comparing sizes, would make a start 7 % slower.
    const emails = this.#byEmail.size
    this.#byEmail.set(emailKey(user.email), user)
    if (this.#byEmail.size === emails) return false
    this.all.push(user)
    this.lastId = Math.max(this.lastId, user.id)
    for (const name of INDEXED) link(this.#indexes[name], user[name], user)
    return true
  }

  /** Removes the row that was added last, and makes its id free again: no caller has seen it. */
  removeLast(): void {
    const user = this.all.pop()
    if (user === undefined) return
    this.lastId = user.id - 1
    this.#byEmail.delete(emailKey(user.email))
    for (const name of INDEXED) unlink(this.#indexes[name], user[name], user)
  }

  /** Changes a row, and the Maps with it. Its email must not become that of another row. */
  change(user: User, attributes: Attributes): void {
    const { email, ...before } = user
    Object.assign(user, attributes)
    if (user.email !== email) {
      this.#byEmail.delete(emailKey(email))
      this.#byEmail.set(emailKey(user.email), user)
    }
    for (const name of INDEXED) {
      if (user[name] === before[name]) continue
      unlink(this.#indexes[name], before[name], user)
      link(this.#indexes[name], user[name], user)
    }
  }

  /** The row with the lowest id that has all of the attributes. */
  find(attributes: Attributes): User | undefined {
    const user = this.#candidate(attributes)
    if (user === null) return this.all.find((each) => hasAll(each, attributes))
    return user !== undefined && hasAll(user, attributes) ? user : undefined
  }

  /** The only row that can have the attributes; `undefined` if none can, `null` if any can. */
  #candidate(attributes: Attributes): User | undefined | null {
    const { id, email } = attributes
    if (id !== undefined) return this.#byId(id)
    if (email !== undefined) return this.#byEmail.get(emailKey(email))
    for (const name of INDEXED) {
      const value = attributes[name]
      if (typeof value === 'string') return this.#indexes[name].get(value)
    }
    return null
  }

  /** The row with an id: at index `id - 1` unless a lower id is missing; then by binary search. */
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

/** The row of each value; null once several rows have had it. */
type Index = Map<string, User | null>

function link(index: Index, value: string | null, user: User): void {
  if (value !== null) index.set(value, index.has(value) ? null : user)
}

function unlink(index: Index, value: string | null, user: User): void {
  if (value !== null && index.get(value) === user) index.delete(value)
}

function hasAll(user: User, attributes: Attributes): boolean {
  for (const name in attributes) {
    if (!isColumn(name)) return false
    if (name === 'email') {
      if (emailKey(user.email) !== emailKey(attributes.email ?? '')) return false
    } else if (user[name] !== attributes[name]) return false
  }
  return true
}
