import type { IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import type { Deadline, Deadlines } from '../deadlines.ts'
import type { Connection } from './connection.ts'
import { STALL_BYTES_PER_MS, STALL_MS } from './limits.ts'
import type { RefusalReason, RequestEntry, RequestLog } from './request-log.ts'

/** Header fields in order; names lower case, a name may occur again (`set-cookie`). */
export type Fields = readonly (readonly [name: string, value: string])[]

/** What a client sent: the same for HTTP/1.1 and HTTP/2, nothing checked beyond the protocol's grammar. */
export type Sent = {
  readonly connection: Connection
  readonly protocol: RequestEntry['protocol']
  readonly method: string
  readonly target: string
  /** `:authority` of HTTP/2. */
  readonly authority: string | null
  readonly headers: IncomingHttpHeaders
  /** Name, value, name, value; without pseudo fields. */
  readonly rawHeaders: readonly string[]
  readonly body: Readable
  readonly hasBody: boolean
  /** The client asks to leave HTTP: what is left of its connection, and the bytes that came after the head. */
  readonly upgrade: { readonly socket: Socket; readonly head: Buffer } | null
  /** The client waits for `100 Continue` before it sends its body. */
  readonly expectsContinue: boolean
}

/** How one protocol carries an answer. `out` takes the body; its `end` ends the answer. */
export type Wire = {
  readonly out: Writable
  head(status: number, fields: Fields, options: { close: boolean }): void
  sendContinue(): void
  /** Breaks the answer off so that the client sees it is not whole: reset of the stream, or of the connection. */
  abort(): void
}

/** One request and its answer. After the client is gone every call is allowed and does nothing. */
export type Exchange = Sent & {
  /** The client is gone, or the answer is complete. */
  readonly isClosed: boolean
  /** The head was handed over; a second one is not possible. */
  readonly isAnswered: boolean
  /** Sends the head. `close`: an HTTP/1.1 connection ends after this answer. Throws for fields that HTTP does not allow. */
  respond(status: number, fields: Fields, options?: { close?: boolean }): void
  /** Sends a piece, one at a time; resolves when it has left this process (its bytes may be reused), false when the client is gone. */
  write(piece: Uint8Array): Promise<boolean>
  end(last?: Uint8Array): void
  sendContinue(): void
  abort(): void
  /** Aborts after so long, unless the deadline is cleared: for whoever waits for something else than the client. */
  breakOffAfter(ms: number): Deadline
  /** Says whom the request was for (null: nobody here) and why it is refused, for counters and logs. */
  attribute(siteId: string | null, reason?: RefusalReason): void
  /** The answer went another way than `respond` and `write`: its status, and body bytes as they pass. */
  account(status: number, bytes: number): void
  /** Counts bytes of the client's body (or of its side of a tunnel) that were taken. */
  receive(bytes: number): void
  /** Calls once when the exchange is over, at once if it is. */
  onClose(listener: () => void): void
}

const NAME = /^[a-z0-9!#$%&'*+.^_`|~-]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** Whether a field can be sent. HTTP/2 of both runtimes sends any bytes, so we check (RFC 9110 section 5.5). */
export function isSendable(name: string, value: string): boolean {
  return NAME.test(name) && VALUE.test(value)
}

function checkField(name: string, value: string): void {
  if (!isSendable(name, value)) throw new TypeError(`field ${JSON.stringify(name)} cannot be sent`)
}

/**
 * Wraps a wire. Answers that the client does not take are broken off by a deadline over each piece. `log` is
 * told once, when the exchange is over.
 */
export function createExchange(sent: Sent, wire: Wire, deadlines: Deadlines, log: RequestLog): Exchange {
  const startedAtMs = performance.now()
  let siteId: string | null = null
  let reason: RefusalReason | undefined
  let status = 0
  let bytes = 0
  let bytesIn = 0
  // While the socket is open: a client that leaves early is logged as well.
  sent.connection.tls()
  const listeners: (() => void)[] = []
  let isClosed = false
  let isAnswered = false
  let settle: (isSent: boolean) => void = () => {}
  let stall: Deadline | null = null
  const close = (): void => {
    if (isClosed) return
    isClosed = true
    stall?.clear()
    settle(false)
    for (const listener of listeners) listener()
    const durationMs = performance.now() - startedAtMs
    log(entryOf(sent, { siteId, status, bytes, bytesIn, durationMs, reason }))
  }
  const expect = (bytes: number): void => {
    const ms = STALL_MS + bytes / STALL_BYTES_PER_MS
    if (stall === null) stall = deadlines.arm(ms, () => wire.abort())
    else stall.rearm(ms)
  }
  const abort = (): void => {
    if (!isClosed) wire.abort()
    close()
  }
  wire.out.on('finish', close)
  wire.out.on('close', close)
  wire.out.on('error', close)
  return {
    ...sent,
    get isClosed() {
      return isClosed
    },
    get isAnswered() {
      return isAnswered
    },
    respond(answered, fields, options = {}) {
      if (isClosed || isAnswered) return
      for (const [name, value] of fields) checkField(name, value)
      wire.head(answered, fields, { close: options.close ?? false })
      isAnswered = true
      status = answered
    },
    write: (piece) =>
      new Promise((resolve) => {
        if (isClosed) return resolve(false)
        expect(piece.length)
        settle = resolve
        wire.out.write(piece, (error) => {
          stall?.clear()
          const isSent = error === null || error === undefined
          if (isSent) bytes += piece.length
          resolve(isSent)
        })
      }),
    end(last) {
      if (isClosed) return
      expect(last?.length ?? 0)
      bytes += last?.length ?? 0
      wire.out.end(last)
    },
    sendContinue: () => wire.sendContinue(),
    abort,
    breakOffAfter: (ms) => deadlines.arm(ms, abort),
    attribute(to, why) {
      siteId = to
      reason = why
    },
    account(passed, more) {
      status = passed
      bytes += more
    },
    receive(more) {
      bytesIn += more
    },
    onClose(listener) {
      if (isClosed) listener()
      else listeners.push(listener)
    },
  }
}

function entryOf(
  sent: Sent,
  over: Pick<RequestEntry, 'siteId' | 'status' | 'bytes' | 'bytesIn' | 'durationMs'> & {
    reason: RefusalReason | undefined
  },
): RequestEntry {
  const { connection, headers, method, target, protocol } = sent
  const { siteId, status, bytes, bytesIn, durationMs, reason } = over
  const host = headers.host ?? sent.authority ?? ''
  const referer = headers.referer ?? ''
  const userAgent = headers['user-agent'] ?? ''
  const asked = { connection, siteId, host, method, target, protocol, referer, userAgent }
  const entry = { ...asked, status, bytes, bytesIn, durationMs }
  return reason === undefined ? entry : { ...entry, reason }
}

/** Sends a whole answer from memory; to HEAD its head only. */
export function send(
  exchange: Exchange,
  status: number,
  fields: Fields,
  body: Uint8Array,
  options: { close?: boolean } = {},
): void {
  exchange.respond(status, [...fields, ['content-length', String(body.length)]], options)
  if (exchange.method === 'HEAD') exchange.end()
  else exchange.end(body)
}
