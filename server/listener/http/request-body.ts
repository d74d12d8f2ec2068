import type { ClientRequest } from 'node:http'
import type { Deadlines } from '../deadlines.ts'
import type { Exchange } from './exchange.ts'
import type { Framing } from './forwarded-fields.ts'
import { BODY_BYTES_PER_MS, BODY_GAP_MS, BODY_TOTAL_MS } from './limits.ts'

const LENGTH = /^\d{1,15}$/
/** Methods that need no `Content-Length: 0` to say that nothing follows (RFC 9110 section 8.6). */
const BODILESS = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS'])

/**
 * How a request's body is framed, or the status that refuses it: a coding besides chunked would reach the
 * upstream without its name (RFC 9112 section 6.1). HTTP/2 leaves checking the length to us.
 */
export function framingOf(exchange: Exchange, maxBytes: number): Framing | 400 | 413 | 501 {
  if ((exchange.headers['transfer-encoding'] ?? 'chunked').toLowerCase() !== 'chunked') return 501
  const field = exchange.headers['content-length']
  if (field !== undefined && !LENGTH.test(field)) return 400
  const length = field === undefined ? null : Number(field)
  if (length !== null && length > maxBytes) return 413
  if (!exchange.hasBody) {
    if (length !== null && length > 0) return 400
    return length === null && BODILESS.has(exchange.method) ? 'none' : { length: 0 }
  }
  return length === null ? 'chunked' : { length }
}

/**
 * Sends the body of a request on, at the upstream's pace. A client that is slow, sends more or less
 * than it announced, or too much, ends the exchange; the upstream never sees a body that is not
 * whole as whole. `onPiece` is called for each piece and at the end.
 */
export function forwardBody(
  exchange: Exchange,
  upstream: ClientRequest,
  framing: Framing,
  maxBytes: number,
  deadlines: Deadlines,
  onPiece: () => void,
): void {
  const { body } = exchange
  const most = typeof framing === 'object' ? framing.length : maxBytes
  const allowance = createAllowance()
  const fail = (): void => {
    upstream.destroy()
    exchange.abort()
  }
  const deadline = deadlines.arm(BODY_GAP_MS, fail)
  let received = 0
  const onData = (piece: Buffer): void => {
    received += piece.length
    exchange.receive(piece.length)
    if (received > most) return void fail()
    onPiece()
    deadline.rearm(allowance.next(received))
    if (upstream.write(piece)) return
    body.pause()
    deadline.clear()
    allowance.pause()
    upstream.once('drain', () => {
      deadline.rearm(allowance.next(received))
      body.resume()
    })
  }
  const onEnd = (): void => {
    deadline.clear()
    if (typeof framing === 'object' && received !== most) return void fail()
    onPiece()
    upstream.end()
  }
  body.on('data', onData)
  body.once('end', onEnd)
  exchange.onClose(() => {
    deadline.clear()
    body.off('data', onData)
    body.off('end', onEnd)
  })
  if (exchange.expectsContinue) exchange.sendContinue()
}

/** How long the next piece may take: a gap, the average since the start, and the total; waiting for the upstream is not the client's. */
function createAllowance(): { next(received: number): number; pause(): void } {
  const start = performance.now()
  let pausedAt: number | null = null
  let pausedMs = 0
  return {
    pause() {
      pausedAt ??= performance.now()
    },
    next(received) {
      const now = performance.now()
      if (pausedAt !== null) pausedMs += now - pausedAt
      pausedAt = null
      const spent = now - start - pausedMs
      const average = BODY_GAP_MS + received / BODY_BYTES_PER_MS - spent
      return Math.max(0, Math.min(BODY_GAP_MS, average, BODY_TOTAL_MS - (now - start)))
    },
  }
}
