import type { Socket } from 'node:net'
import type { BlobRef } from '../../contract/manifest.ts'
import type { Deadline, Deadlines } from '../deadlines.ts'
import type { Connection } from './connection.ts'
import { endConnection } from './farewell.ts'
import type { FastAnswer } from './fast-answer.ts'
import type { FastBodies, FastBody } from './fast-body.ts'
import type { FastSite, FastSites } from './fast-sites.ts'
import { type Held, type HeldSet, holdConnection } from './held.ts'
import { FAREWELL_MS, MAX_HEAD_BYTES, STALL_BYTES_PER_MS, STALL_MS } from './limits.ts'
import type { RequestLog } from './request-log.ts'
import { createHeadReader, type HeadFields, type HeadReader, type StrictHead } from './strict-head.ts'

/** What fast connections need. */
export type FastConnectionDeps = {
  readonly sites: FastSites
  readonly bodies: FastBodies
  readonly deadlines: Deadlines
  readonly open: HeldSet
  readonly log: RequestLog
  /** Takes over a connection for good. What it has sent since the last answer follows as its next data. */
  readonly handOver: (socket: Socket, connection: Connection) => void
}

/**
 * Serves a TLS connection with HTTP/1.1 for as long as its requests are strict heads that `FastSites` can answer.
 * The first that is not goes to the full HTTP server, with all bytes from its first one on, and the connection
 * stays there. Requests are answered one after the other; a client that does not read is not read from either.
 */
export function serveFast(socket: Socket, connection: Connection, deps: FastConnectionDeps): void {
  new FastConnection(socket, connection, deps).start()
}

/** A request whose answer takes a while: `bytes` begin with it, `next` is where the one after it begins. */
type Asked = {
  readonly site: FastSite
  readonly head: StrictHead
  readonly closes: boolean
  readonly bytes: Buffer
  readonly next: number
}

/** A class, since its methods run a hundred thousand times a second and closures over its state cost more. */
class FastConnection {
  readonly #socket: Socket
  readonly #connection: Connection
  readonly #deps: FastConnectionDeps
  readonly #reader: HeadReader = createHeadReader()
  readonly #held: Held
  readonly #onData = (chunk: Buffer): void => this.#take(chunk)
  readonly #onDrain = (): void => this.#drained()
  #stall: Deadline | null = null
  #state: 'open' | 'blocked' | 'busy' | 'over' = 'open'
  /** What came while an answer was under way, or the beginning of a head. */
  #waiting: Buffer | null = null
  #hasPart = false
  /** What the last head said, and the site that answers for it while no record changes. */
  #fields: HeadFields | null = null
  #epoch = 0
  #site: FastSite | null = null

  constructor(socket: Socket, connection: Connection, deps: FastConnectionDeps) {
    this.#socket = socket
    this.#connection = connection
    this.#deps = deps
    this.#held = holdConnection(connection, deps.deadlines, (isBusy) => {
      if (!isBusy) this.#part(FAREWELL_MS)
    })
  }

  start(): void {
    const socket = this.#socket
    this.#deps.open.add(socket, this.#held)
    socket.on('error', () => void socket.destroy())
    socket.on('close', () => this.#closed())
    socket.on('drain', this.#onDrain)
    socket.on('data', this.#onData)
  }

  #take(chunk: Buffer): void {
    if (this.#state === 'over') return
    const bytes = this.#waiting === null ? chunk : Buffer.concat([this.#waiting, chunk])
    if (this.#state === 'open') return void this.#handle(bytes)
    this.#waiting = bytes
    if (bytes.length > MAX_HEAD_BYTES) this.#socket.pause()
  }

  #handle(bytes: Buffer): void {
    this.#waiting = null
    let at = 0
    while (at < bytes.length && this.#state === 'open') {
      const head = this.#reader.read(bytes, at)
      if (head === null) return void this.#unread(bytes.subarray(at))
      this.#hasPart = false
      if (!this.#answer(head, bytes, at)) return
      at = head.end
    }
    if (at < bytes.length && this.#state === 'blocked') this.#waiting = bytes.subarray(at)
  }

  /** False: what follows in these bytes is looked at later, or by somebody else, or by nobody. */
  #answer(head: StrictHead, bytes: Buffer, at: number): boolean {
    const site = this.#siteOf(head.fields)
    const closes = !head.fields.keepsAlive || this.#held.isDraining
    const reply = site === null ? null : this.#deps.sites.reply(site, head, closes)
    if (site === null || reply === null) this.#leave(bytes.subarray(at))
    else if (reply instanceof Promise) this.#retryAfter(reply, bytes.subarray(at), site, head)
    else if (reply.pieces !== null)
      this.#sendPieces({ site, head, closes, bytes: bytes.subarray(at), next: head.end - at }, reply.pieces, reply)
    else {
      this.#send(reply)
      this.#log(site, head, reply.status, reply.bodyBytes, 0)
      if (!closes) return true
      this.#part(STALL_MS)
    }
    return false
  }

  #siteOf(fields: HeadFields): FastSite | null {
    const { sites } = this.#deps
    if (fields === this.#fields && sites.epoch === this.#epoch) return this.#site
    this.#fields = fields
    this.#epoch = sites.epoch
    this.#site = sites.siteOf(this.#connection, fields.host)
    return this.#site
  }

  #send(answer: FastAnswer): void {
    const socket = this.#socket
    const bytes = answer.bytesAt(Date.now())
    const isRoomy = socket.write(bytes)
    if (socket.writableLength > 0) answer.lend()
    if (isRoomy) return void this.#held.touch()
    this.#state = 'blocked'
    this.#held.begin()
    const ms = STALL_MS + socket.writableLength / STALL_BYTES_PER_MS
    if (this.#stall === null) this.#stall = this.#deps.deadlines.arm(ms, () => void socket.destroy())
    else this.#stall.rearm(ms)
  }

  #drained(): void {
    if (this.#state !== 'blocked') return
    this.#stall?.clear()
    this.#goOn()
  }

  /** What was waited for is there. What the client has sent meanwhile is answered before a drain parts from it. */
  #goOn(): void {
    this.#state = 'open'
    try {
      if (this.#waiting !== null) this.#handle(this.#waiting)
    } finally {
      this.#held.finish()
    }
    if (this.#state === 'open') this.#socket.resume()
  }

  /** No strict head: perhaps because its end has not come. It gets one more piece, then it is somebody else's. */
  #unread(bytes: Buffer): void {
    if (this.#hasPart || bytes.includes('\r\n\r\n')) return void this.#leave(bytes)
    this.#hasPart = true
    this.#waiting = bytes
  }

  #retryAfter(ready: Promise<void>, bytes: Buffer, site: FastSite, head: StrictHead): void {
    this.#wait(bytes)
    const startedAtMs = performance.now()
    const then = (goOn: () => void): void => {
      if (this.#isHere()) goOn()
      else this.#log(site, head, 0, 0, performance.now() - startedAtMs)
    }
    // Content that is not there is told of by the full path.
    ready.then(
      () => then(() => this.#goOn()),
      () => then(() => this.#leave(this.#waiting ?? bytes)),
    )
  }

  #sendPieces({ site, head, closes, bytes, next }: Asked, pieces: BlobRef, answer: FastAnswer): void {
    this.#wait(bytes)
    const startedAtMs = performance.now()
    const run = async (): Promise<void> => {
      const body = await this.#deps.bodies.open(pieces, site.siteId).catch(() => null)
      const status = this.#isHere() ? answer.status : 0
      if (body === null && status > 0) return this.#leave(this.#waiting ?? bytes)
      // A file that cannot be read on: an answer that breaks off is seen as one.
      const sent = body === null ? 0 : await this.#sendBody(body, answer, next).catch(() => 0)
      this.#log(site, head, status, sent, performance.now() - startedAtMs)
      if (!this.#isHere()) return
      if (sent < pieces.bytes) return void this.#socket.destroy()
      if (closes) return void this.#part(STALL_MS)
      this.#goOn()
    }
    run().catch(() => void this.#socket.destroy())
  }

  #sendBody(body: FastBody, answer: FastAnswer, next: number): Promise<number> {
    const rest = this.#waiting?.subarray(next) ?? null
    this.#waiting = rest === null || rest.length === 0 ? null : rest
    // Not the answer's own bytes: the next second writes into them while these may still wait.
    this.#socket.write(Buffer.from(answer.bytesAt(Date.now())))
    return body.send(this.#socket)
  }

  #wait(bytes: Buffer): void {
    this.#state = 'busy'
    this.#waiting = bytes
    this.#held.begin()
    // While the socket is open: a visitor who leaves early is logged as well.
    this.#connection.tls()
  }

  #isHere(): boolean {
    return this.#state === 'busy' && !this.#socket.destroyed
  }

  #leave(bytes: Buffer): void {
    const socket = this.#socket
    this.#state = 'over'
    this.#waiting = null
    socket.off('data', this.#onData)
    socket.off('drain', this.#onDrain)
    this.#held.release()
    // Before, not afterwards: an upgrade stops the flow until somebody listens, and what comes meanwhile must wait.
    socket.resume()
    this.#deps.handOver(socket, this.#connection)
    socket.emit('data', bytes)
  }

  /** Ends the connection; who does not take the end of it in time is cut off. */
  #part(ms: number): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#waiting = null
    this.#held.release()
    endConnection(this.#socket, this.#deps.deadlines, ms)
  }

  #closed(): void {
    this.#state = 'over'
    this.#waiting = null
    this.#stall?.clear()
  }

  #log(site: FastSite, head: StrictHead, status: number, bytes: number, durationMs: number): void {
    const { method, target, fields } = head
    this.#deps.log({
      connection: this.#connection,
      siteId: site.siteId,
      host: fields.host,
      method,
      target,
      protocol: 'HTTP/1.1',
      status,
      bytes,
      bytesIn: 0,
      durationMs,
      referer: fields.referer,
      userAgent: fields.userAgent,
    })
  }
}
