/** One connection: its requests in order, how fast they are read, and how it ends. */
import { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { countHeader } from './head.ts'

/** Once more requests than this wait on one connection, nothing more is read from it until all are answered. */
const MAX_WAITING = 100
/** Bytes that node's parser gets at a time from a client that pipelines. */
const PARSE_BYTES = 4096
/** A client gets this long to read its last replies. */
const LINGER_MS = 1000

type Answer = (response: ServerResponse) => Promise<void> | void

const CONNECTION = Symbol('connection')
type Tagged = Socket & { [CONNECTION]?: Connection }

/**
 * Carries out a connection's requests one after the other. A client that waits for each reply never has a request in
 * the queue. One that pipelines (RFC 9112, section 9.3.2) may depend on the order, and nothing is done for it in
 * parallel.
 */
export class Connection {
  /** True while nothing is read from the client, so that it cannot finish a request in time. */
  isHeld = false
  readonly #socket: Socket
  readonly #waiting: [ServerResponse, Answer][] = []
  #last: ServerResponse | null = null
  #isBusy = false
  #isInPieces = false
  #isClosing = false

  constructor(socket: Socket) {
    this.#socket = socket
    // node calls this after a last reply. Its own version closes immediately: with bytes unread, that is a reset.
    socket.destroySoon = () => {
      this.#isClosing = true
      this.#stopReading()
      this.#end()
    }
  }

  /** The connection of a socket, made at its first request. */
  static of(socket: Tagged): Connection {
    return (socket[CONNECTION] ??= new Connection(socket))
  }

  /** Answers a request after those before it. `answer` writes the reply, and must neither throw nor reject. */
  receive(response: ServerResponse, answer: Answer): void {
    if (this.#isClosing) return
    this.#last = response
    // A response has no socket until the earlier ones on its connection have been sent.
    if (response.socket === null && !this.#isInPieces) this.#readInPieces()
    if (countHeader(response.req, 'upgrade') > 0) this.#endWith(response)
    if (this.#isBusy) this.#waiting.push([response, answer])
    else this.#start(response, answer)
  }

  /** Ends the connection after node's parser has failed; `refuse` writes its last reply, after those still owed. */
  endBroken(refuse: (response: ServerResponse) => void): void {
    const last = this.#last
    const isLastBroken = last !== null && !last.req.complete
    if (this.#isClosing && !isLastBroken) return
    this.#isClosing = true
    this.#stopReading()
    if (isLastBroken && !last.headersSent) {
      last.shouldKeepAlive = false
      refuse(last)
      return
    }
    this.#afterReplies(() => {
      // The broken request has had its reply. The client would take a second one for the reply to another request.
      if (isLastBroken) return this.#end()
      const response = new ServerResponse(new IncomingMessage(this.#socket))
      response.assignSocket(this.#socket)
      response.once('finish', () => this.#end())
      refuse(response)
    })
  }

  #start(response: ServerResponse, answer: Answer): void {
    // While this request waited it was found broken, and `endBroken` has replied.
    if (response.headersSent) return
    const done = answer(response)
    if (done === undefined) return this.#endIfLast(response)
    this.#isBusy = true
    void done.then(() => {
      this.#isBusy = false
      this.#endIfLast(response)
      while (!this.#isBusy) {
        const next = this.#waiting.shift()
        if (next === undefined) return
        this.#start(...next)
      }
    })
  }

  /** Drops the requests that wait if this was the connection's last reply, or the client has disconnected. */
  #endIfLast(response: ServerResponse): void {
    if (response.shouldKeepAlive && !this.#socket.destroyed) return
    this.#waiting.length = 0
    if (!this.#isClosing) this.#endWith(response)
  }

  /**
   * Makes this reply the connection's last. After an `Upgrade`, node's parser takes the rest of what was read for
   * another protocol, drops it, and would parse the next read as if nothing were missing.
   */
  #endWith(response: ServerResponse): void {
    this.#isClosing = true
    response.shouldKeepAlive = false
    const { req } = response
    process.nextTick(() => {
      if (req.complete) this.#stopReading()
      else req.once('end', () => this.#stopReading())
    })
  }

  /** Calls back when every reply has been sent; never, if the client disconnects before that. */
  #afterReplies(callback: () => void): void {
    const last = this.#last
    // A reply that has been written keeps the socket until its `finish`, one turn later.
    if (last === null || (last.writableFinished && last.socket === null)) callback()
    else last.once('finish', callback)
  }

  /**
   * From now on, gives node's parser one small piece at a time. node stops reading from a client that does not read
   * its replies, but only after it has parsed all that it has read so far: that is up to 64 KiB, which may hold 2,400
   * requests and take 6 MB until they are answered. On node 20 fifty such clients cost 220 to 310 MB, and about 70 MB
   * with this. Connections do not start this way, because node's parser reads faster on its own.
   */
  #readInPieces(): void {
    this.#isInPieces = true
    const socket = this.#socket
    const [parse] = socket.listeners('data')
    if (parse === undefined) return
    socket.removeAllListeners('data').on('data', (chunk: Buffer) => {
      if (this.#waiting.length > MAX_WAITING) return this.#hold(chunk)
      Reflect.apply(parse, socket, [chunk.subarray(0, PARSE_BYTES)])
      // The rest comes back immediately, or when node resumes reading.
      if (chunk.length > PARSE_BYTES) socket.unshift(chunk.subarray(PARSE_BYTES))
    })
    // Our listener made node remove its own for `resume`, which starts reading; an empty push starts it too.
    socket.push('')
  }

  /** Puts back what came in, and reads no more until every reply has been sent. */
  #hold(chunk: Buffer): void {
    // Pause first: a stream that flows would emit the chunk again immediately.
    this.#socket.pause()
    this.#socket.unshift(chunk)
    if (this.isHeld) return
    this.isHeld = true
    this.#afterReplies(() => {
      this.isHeld = false
      this.#socket.resume()
    })
  }

  /** Detaches node's parser, which would parse whatever comes in. */
  #stopReading(): void {
    this.#socket.removeAllListeners('data').on('data', () => {})
    this.#socket.pause()
  }

  /** Closes in two steps (RFC 9112, section 9.6): closing with bytes unread sends a reset, which can lose replies. */
  #end(): void {
    this.#socket.resume()
    this.#socket.end()
    setTimeout(() => this.#socket.destroy(), LINGER_MS).unref()
  }
}
