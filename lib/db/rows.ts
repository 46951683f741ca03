/** All rows, and the ways to find one at once. */
import { foldEmail, isColumn, type User } from '../../user.ts'
import type { Attributes } from './engine.ts'

/** All rows, and the ways to find one at once. */
export class Rows {
  readonly all: User[] = []
  lastId = 0
  /** By id, but only those that do not stand at the place of their id. */
  readonly #strays = new Index()
  readonly #indexes = {
    email: new Index((email) => foldEmail(String(email))),
    session_id: new Index(),
    reset_token: new Index(),
  }

  /** Adds a row that cannot be found yet except by its id. */
  push(user: User): void {
    if (this.all.push(user) !== user.id) this.#strays.set(user.id, user)
    this.lastId = Math.max(this.lastId, user.id)
  }

  /** Takes back the row that was pushed last. */
  pop(user: User): void {
    this.unindex(user)
    this.#strays.delete(user.id)
    this.all.pop()
    this.lastId--
  }

  /** The row with this id, most often at the place of its id. */
  byId(id: number): User | undefined {
    const user = this.all[id - 1]
    return user?.id === id ? user : this.#strays.get(id)
  }

  /** The first row that has all of the attributes. */
  find(attributes: Attributes): User | undefined {
    const { id, email, session_id, reset_token } = attributes
    let user: User | undefined
    if (id !== undefined) user = this.byId(id)
    else if (email !== undefined) user = this.#indexes.email.get(email)
    else if (typeof session_id === 'string') user = this.#indexes.session_id.get(session_id)
    else if (typeof reset_token === 'string') user = this.#indexes.reset_token.get(reset_token)
    else return this.all.find((user) => hasAll(user, attributes))
    return user && hasAll(user, attributes) ? user : undefined
  }

  /** Changes a row, and how it is found. */
  change(user: User, attributes: Attributes): void {
    this.unindex(user)
    Object.assign(user, attributes)
    this.index(user)
  }

  /** Tells whether the email is new. */
  index(user: User): boolean {
    if (user.session_id !== null) this.#indexes.session_id.set(user.session_id, user)
    if (user.reset_token !== null) this.#indexes.reset_token.set(user.reset_token, user)
    return this.#indexes.email.set(user.email, user)
  }

  /** Makes a row one that is found by its id only. */
  unindex({ email, session_id, reset_token }: User): void {
    this.#indexes.email.delete(email)
    if (session_id !== null) this.#indexes.session_id.delete(session_id)
    if (reset_token !== null) this.#indexes.reset_token.delete(reset_token)
  }
}

/** Tells whether a row has all of the attributes. */
function hasAll(user: User, attributes: Attributes): boolean {
  for (const name in attributes) {
    if (!isColumn(name)) return false
    if (
      user[name] !== attributes[name] &&
      (name !== 'email' || foldEmail(user.email) !== foldEmail(attributes.email ?? ''))
    )
      return false
  }
  return true
}

/**
 * From a value to the row that has it. A thousand small Maps, as one large Map stands still for a tenth of a second whenever
 * it grows or sweeps out what was deleted.
 */
class Index {
  readonly #shards = Array.from({ length: 1024 }, () => new Map<unknown, User>())
  readonly #keyOf: (value: unknown) => unknown

  /** `keyOf` gives the form in which values are compared. */
  constructor(keyOf = (value: unknown) => value) {
    this.#keyOf = keyOf
  }

  /** The row that has the value. */
  get(value: unknown): User | undefined {
    const key = this.#keyOf(value)
    return this.#shardOf(key)?.get(key)
  }

  /** Tells whether the value is new. */
  set(value: unknown, user: User): boolean {
    const key = this.#keyOf(value)
    const shard = this.#shardOf(key)
    const before = shard?.size
    return shard?.set(key, user).size !== before
  }

  /** Forgets a value. */
  delete(value: unknown): void {
    const key = this.#keyOf(value)
    this.#shardOf(key)?.delete(key)
  }

  /** The small Map that a key belongs to. */
  #shardOf(key: unknown): Map<unknown, User> | undefined {
    let hash = 0
    if (typeof key === 'string') for (let i = 0; i < key.length; i++) hash = (hash * 31 + key.charCodeAt(i)) | 0
    else hash = Number(key)
    return this.#shards[hash & 1023]
  }
}
