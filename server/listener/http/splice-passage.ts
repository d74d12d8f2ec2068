import type { Socket } from 'node:net'
import type { Deadline, Deadlines } from '../deadlines.ts'
import { sitePageBytes } from './error-pages.ts'
import { MAX_UPSTREAM_HEAD_BYTES, MAX_UPSTREAM_TRIES, STALL_BYTES_PER_MS, STALL_MS, UPSTREAM_GAP_MS } from './limits.ts'
import { type AnswerHead, parseAnswer } from './splice-answer.ts'
import { type BodyReader, createBodyReaders } from './splice-body.ts'
import type { SpliceRequest } from './splice-request.ts'
import { answerBytes, LAST_CHUNK, pieceBytes } from './splice-write.ts'
import type { Peer, UpstreamGroup } from './upstream-group.ts'
import type { SocketUser, UpstreamSocket } from './upstream-sockets.ts'

/** How a request ended. */
export type SpliceOutcome = {
  /** 0: the visitor left before an answer began. */
  readonly status: number
  /** Body bytes that were handed to the visitor's connection. */
  readonly bytes: number
  /** The visitor's connection can carry another request; otherwise the caller ends it (it may be destroyed already). */
  readonly keeps: boolean
}

/** One request that passes: `fields` as its upstream gets them. */
export type Passage = {
  readonly request: SpliceRequest
  readonly fields: string
  readonly group: UpstreamGroup
  readonly done: (outcome: SpliceOutcome) => void
}

/** The passages of one visitor's connection, one after the other. */
export type Passages = {
  readonly isBusy: boolean
  begin(passage: Passage): void
  visitorGone(): void
  visitorDrained(): void
}

/** `ending`: the answer is whole, and the visitor has not taken all of it. */
type State = 'idle' | 'connecting' | 'waiting' | 'answering' | 'ending'

const HEAD_END = Buffer.from('\r\n\r\n')

/** Everything is made once for a connection and set anew for each request: it is the hot path of a proxy site. */
export function createPassages(visitor: Socket, deadlines: Deadlines): Passages {
  const readerOf = createBodyReaders()
  let state: State = 'idle'
  let passage: Passage | null = null
  let isHead = false
  let tried: Peer[] = []
  let tries = 0
  let peer: Peer | null = null
  let upstream: UpstreamSocket | null = null
  let giveUpDialling: (() => void) | null = null
  /** Of the dialling, or of the visitor who still reads; else the upstream's own counts. */
  let deadline: Deadline | null = null
  /** What came of a head that is not whole; not null once anything has come. */
  let collected: Buffer | null = null
  let headBytes = 0
  let head: AnswerHead | null = null
  let body: BodyReader | null = null
  /** What the visitor was told. */
  let status = 0
  let keeps = false
  let isStalled = false
  let bytes = 0
  const reset = (): void => {
    passage = null
    tried = []
    tries = 0
    peer = null
    collected = null
    headBytes = 0
    head = null
    body = null
    status = 0
    isStalled = false
    bytes = 0
  }
  const over = (mayGoOn: boolean): void => {
    if (passage === null) return
    const { done } = passage
    const outcome = { status, bytes, keeps: mayGoOn && !visitor.destroyed }
    state = 'idle'
    deadline?.clear()
    reset()
    done(outcome)
  }
  const leave = (): void => {
    giveUpDialling?.()
    giveUpDialling = null
    if (upstream === null) return
    upstream.user = null
    upstream.socket.destroy()
    upstream = null
  }
  const stallMs = (): number => STALL_MS + visitor.writableLength / STALL_BYTES_PER_MS
  /** The answer is whole: over at once, or when the visitor has taken it. */
  const settle = (): void => {
    if (!isStalled) return void over(keeps)
    state = 'ending'
    deadline = deadlines.arm(stallMs(), () => void visitor.destroy())
  }
  const refuse = ({ request, group }: Passage, reason: 502 | 504): void => {
    status = reason
    keeps = request.mayKeep()
    const page = sitePageBytes(reason, group.options.errorPages, { isHead, close: !keeps })
    isStalled = !visitor.write(page)
    bytes = page.length - page.indexOf(HEAD_END) - HEAD_END.length
    settle()
  }
  const tryNext = (one: Passage, reason: 502 | 504): void => {
    const next = tries < MAX_UPSTREAM_TRIES ? one.group.choose(tried) : null
    if (next === null) refuse(one, reason)
    else go(one, next)
  }
  const failed = (mayRepeat: boolean, reason: 502 | 504): void => {
    leave()
    if (passage === null || peer === null) return
    passage.group.failed(peer)
    tried.push(peer)
    if (mayRepeat) tryNext(passage, reason)
    else refuse(passage, reason)
  }
  const go = (one: Passage, next: Peer): void => {
    tries += 1
    peer = next
    const kept = one.group.sockets.take(next)
    if (kept === null) dial(one, next)
    else use(one, next, kept)
  }
  const dial = (one: Passage, next: Peer): void => {
    state = 'connecting'
    deadline = deadlines.arm(one.group.options.proxy.connectTimeoutMs, () => failed(true, 504))
    let isOpened = false
    const giveUp = one.group.sockets.open(next, next.address, (_, opened) => {
      isOpened = true
      giveUpDialling = null
      deadline?.clear()
      if (opened === null) failed(true, 502)
      else use(one, next, opened)
    })
    // It may be over before it returns, with another one under way.
    if (!isOpened) giveUpDialling = giveUp
  }
  const use = (one: Passage, { address }: Peer, opened: UpstreamSocket): void => {
    const { request, fields, group } = one
    state = 'waiting'
    upstream = opened
    opened.user = user
    opened.deadline.rearm(group.options.proxy.responseTimeoutMs)
    const line = `${request.method} ${address.basePath}${request.target} HTTP/1.1\r\n`
    opened.socket.write(`${line}${fields}\r\n`, 'latin1')
  }
  const breakOff = (isUpstreamsFault: boolean): void => {
    if (isUpstreamsFault && passage !== null && peer !== null) passage.group.failed(peer)
    leave()
    visitor.destroy()
    over(false)
  }
  /** The upstream went away. Before it said anything the request may go elsewhere, or once more where the connection was old. */
  const lost = (): void => {
    if (state === 'answering') return void breakOff(true)
    const wasStale = upstream?.isUsed === true && collected === null
    leave()
    if (wasStale && tries < MAX_UPSTREAM_TRIES && passage !== null && peer !== null) go(passage, peer)
    else failed(collected === null, 502)
  }
  const readHead = (piece: Buffer): void => {
    if (collected !== null) {
      const searchFrom = Math.max(0, collected.length - 3)
      collected = Buffer.concat([collected, piece])
      // Read once it is there as a whole: one that comes byte by byte must not be read for each of them.
      const isWhole = collected.indexOf(HEAD_END, searchFrom) >= 0
      if (!isWhole && headBytes + collected.length <= MAX_UPSTREAM_HEAD_BYTES) return
    } else collected = piece
    const parsed = finalHead()
    if (parsed === null) failed(false, 502)
    else if (parsed !== 'more') begin(parsed, collected)
  }
  /** The head of the answer itself: informational ones are taken off (RFC 9110 section 15.2). */
  const finalHead = (): AnswerHead | 'more' | null => {
    for (;;) {
      const all = collected as Buffer
      const parsed = parseAnswer(all, isHead)
      if (headBytes + sizeOf(parsed, all) > MAX_UPSTREAM_HEAD_BYTES) return null
      if (parsed === null || parsed === 'more' || parsed.status >= 200) return parsed
      // A switch of protocols that nobody asked for.
      if (parsed.status === 101) return null
      headBytes += parsed.end
      collected = all.subarray(parsed.end)
    }
  }
  const begin = (parsed: AnswerHead, all: Buffer): void => {
    const reader = readerOf(parsed.framing)
    if (passage === null || peer === null || !reader.read(all, parsed.end)) return void failed(false, 502)
    passage.group.succeeded(peer)
    head = parsed
    body = reader
    status = parsed.status
    keeps = passage.request.mayKeep()
    state = 'answering'
    pass(answerBytes(parsed, all, reader.kept, keeps), reader.dataBytes)
    afterPiece()
  }
  const readBody = (piece: Buffer): void => {
    if (body === null || !body.read(piece, 0)) return void breakOff(true)
    pass(pieceBytes(piece, body.kept, head?.framing === 'until-close'), body.dataBytes)
    afterPiece()
  }
  const pass = (pieces: readonly Buffer[], count: number): void => {
    bytes += count
    for (const one of pieces) isStalled = !visitor.write(one) || isStalled
  }
  const afterPiece = (): void => {
    if (upstream === null) return
    if (body?.isDone === true) return void finish()
    if (isStalled) upstream.socket.pause()
    upstream.deadline.rearm(isStalled ? stallMs() : UPSTREAM_GAP_MS)
  }
  const finish = (): void => {
    const done = upstream
    if (done !== null && head?.keepsAlive === true) {
      upstream = null
      passage?.group.sockets.release(done)
    } else leave()
    settle()
  }
  const user: SocketUser = {
    onBytes(piece) {
      if (state === 'waiting') readHead(piece)
      else readBody(piece)
    },
    onEnd() {
      if (state !== 'answering' || body?.endsHere() !== true) return void lost()
      pass([LAST_CHUNK], 0)
      finish()
    },
    onGone: lost,
    onDeadline() {
      if (state === 'waiting') failed(false, 504)
      else breakOff(!isStalled)
    },
  }
  return {
    get isBusy() {
      return passage !== null
    },
    begin(one) {
      passage = one
      isHead = one.request.method === 'HEAD'
      tryNext(one, 502)
    },
    visitorGone() {
      leave()
      over(false)
    },
    visitorDrained() {
      if (!isStalled) return
      isStalled = false
      if (state === 'ending') return void over(keeps)
      upstream?.deadline.rearm(UPSTREAM_GAP_MS)
      upstream?.socket.resume()
    },
  }
}

function sizeOf(parsed: AnswerHead | 'more' | null, all: Buffer): number {
  return parsed === null || parsed === 'more' ? all.length : parsed.end
}
