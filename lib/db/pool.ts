/** Connections to PostgreSQL: how they are made, given up and closed. */
import { connect, type Socket } from 'node:net'
import type { Sql, TransactionSql } from 'postgres'
import { messageOf } from '../errors.ts'
import { StoreError } from './engine.ts'

/** How long a statement may take, in milliseconds, before the database cancels it, */
const STATEMENT_TIMEOUT = 3000
/** and before its connection is dropped, as nothing comes back on it. */
const HANG_TIMEOUT = 4000
/** How long after a connection that failed the next one is tried, in seconds. */
const PAUSE = 0.5

/** A parameter of a statement. */
export type Value = string | number | null | readonly string[]

/** What the driver tells a function that makes a socket. */
type Target = { host: string[]; port: number[]; path?: string | false; ssl: unknown }

/**
 * A pool of connections, which do not keep the process running: a script that never closes it ends when its statements have
 * been answered.
 */
export class Pool {
  readonly #connect: () => Sql
  #sql: Sql
  #isPrepared = true

  private constructor(connect: () => Sql) {
    this.#connect = connect
    this.#sql = connect()
  }

  /**
   * Loads the driver; the first statement connects.
   * @throws {StoreError} when the driver is not installed
   */
  static async load(url: string, max: number): Promise<Pool> {
    const { default: postgres } = await import('postgres').catch(() => {
      throw new StoreError('the PostgreSQL driver is missing: run npm install postgres')
    })
    const options = {
      max,
      // Its timer would keep the process running.
      max_lifetime: 0,
      connect_timeout: STATEMENT_TIMEOUT / 1000,
      backoff: () => PAUSE,
      fetch_types: false,
      onnotice: () => {},
      connection: { statement_timeout: STATEMENT_TIMEOUT },
      socket: makeSocket,
      types: {
        // Unix seconds and counts are exact as numbers.
        bigint: { to: 20, from: [20], serialize: String, parse: Number },
        texts: { to: 1009, from: [1009], serialize: toArrayLiteral, parse: String },
      },
    }
    return new Pool(() => postgres(url, options))
  }

  /**
   * Runs a statement, prepared once for each connection. When one hangs, all connections are dropped: what they wait for might
   * never come.
   * @throws {Error} the driver's, and StoreError when the database does not answer in time
   */
  run<Row extends object>(text: string, values: readonly Value[] = []): Promise<Row[]> {
    const sql = this.#sql
    return within(HANG_TIMEOUT, sql.unsafe<Row[]>(text, [...values], { prepare: this.#isPrepared }), () => {
      if (this.#sql === sql) this.#sql = this.#connect()
      void sql.end({ timeout: 0 })
    })
  }

  /** Runs a transaction, which may take any time. */
  async transaction(task: (sql: TransactionSql) => Promise<void>): Promise<void> {
    await within(2 ** 31 - 1, this.#sql.begin(task))
  }

  /**
   * Finds out whether the connections end at the database. A pooler, such as PgBouncer, answers with a process id of its
   * own, and may give every statement to another connection of its own, which does not have what was prepared.
   */
  async findPooler(): Promise<void> {
    const rows = await within(HANG_TIMEOUT, this.#sql.unsafe<{ pid: number }[]>('select pg_backend_pid() as pid'))
    this.#isPrepared = rows[0]?.pid === rows.state.pid
  }

  /** Closes the connections when what runs on them has ended, or hangs. */
  async close(): Promise<void> {
    await within(2 * HANG_TIMEOUT, this.#sql.end({ timeout: HANG_TIMEOUT / 1000 }))
  }
}

/**
 * Waits for a step, but not longer than this. The timer keeps the process running meanwhile, which the connections do not.
 * @throws {StoreError} when it takes longer
 */
export function within<T>(milliseconds: number, step: Promise<T>, giveUp = () => {}): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      giveUp()
      reject(new StoreError(`the database did not answer within ${milliseconds / 1000} seconds`))
    }, milliseconds)
    step.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/**
 * A socket to the database. With a server that hangs up, or one without TLS, the driver would try again without a pause or
 * fail with a message that helps nobody; here the error says what is wrong.
 */
function makeSocket({ host, port, path, ssl }: Target): Socket {
  const [hostname = '', portNumber = 0] = [host[0], port[0]]
  const socket = path ? connect(path) : connect(portNumber, hostname)
  socket.once('end', () => {
    if (socket.bytesRead === 0)
      socket.destroy(new Error(`${hostname}:${portNumber} closed the connection without an answer; is it PostgreSQL?`))
  })
  // The answer to the driver's request for TLS, which it sends first: S or N (PostgreSQL, Message Flow, SSL).
  const needsTls = ssl !== false && ssl !== 'prefer'
  socket.once('data', (bytes) => {
    if (needsTls && bytes[0] === 0x4e) socket.destroy(new Error(NO_TLS))
  })
  // The driver checks the certificate against this name.
  return Object.assign(socket.unref(), { host: hostname, port: portNumber })
}

const NO_TLS = 'the server has no TLS; turn it on there, or leave sslmode out of the URL'

/** An array as PostgreSQL reads it in a text. */
function toArrayLiteral(texts: readonly string[]): string {
  return `{${texts.map((text) => `"${text.replace(/["\\]/g, '\\$&')}"`).join()}}`
}

/** An error of the driver or the database in one line for people. */
export function explain(error: unknown): string {
  const parameter = /unsupported startup parameter: (\w+)/.exec(messageOf(error))?.[1]
  const advice = parameter === undefined ? '' : `; in PgBouncer, set ignore_startup_parameters = ${parameter}`
  return messageOf(error) + advice
}
