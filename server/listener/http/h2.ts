import {
  constants,
  createSecureServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { Deadlines } from '../deadlines.ts'
import { servesAfterGoaway } from '../runtime.ts'
import type { Connection } from './connection.ts'
import { createExchange, type Exchange, type Fields, type Sent, type Wire } from './exchange.ts'
import { type Held, type HeldSet, holdConnection } from './held.ts'
import {
  FAREWELL_MS,
  MAX_HEAD_BYTES,
  MAX_HEADER_FIELDS,
  MAX_STREAMS,
  RESET_BURST,
  RESETS_PER_SECOND,
  UPLOAD_WINDOW_BYTES,
} from './limits.ts'
import type { RequestLog } from './request-log.ts'

/** HTTP/2 on sockets that are handed over. */
export type Http2 = { accept(socket: TLSSocket, connection: Connection): void }

/** RFC 9113 section 6.8: in a GOAWAY it stands for every stream that may still come. */
const MAX_STREAM_ID = 2 ** 31 - 1
/** Answers a stream at once, or says false: then the full path does. */
export type HotStream = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  rawHeaders: readonly string[],
  held: Held,
) => boolean

/** Fields that HTTP/2 forbids (RFC 9113 section 8.2.2). */
const CONNECTION_FIELDS = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])

/** Makes the server of a worker; it never listens. */
export function createHttp2(deps: {
  exchange: (exchange: Exchange) => void
  deadlines: Deadlines
  open: HeldSet
  log: RequestLog
  hot: HotStream
}): Http2 {
  const heldOf = new WeakMap<object, Held>()
  let arriving: ((session: ServerHttp2Session) => void) | null = null
  const server = createSecureServer({
    settings: {
      maxConcurrentStreams: MAX_STREAMS,
      maxHeaderListSize: MAX_HEAD_BYTES,
      initialWindowSize: UPLOAD_WINDOW_BYTES,
    },
    maxHeaderListPairs: MAX_HEADER_FIELDS,
    streamResetBurst: RESET_BURST,
    streamResetRate: RESETS_PER_SECOND,
  })
  server.on('session', (session) => arriving?.(session))
  server.on('sessionError', () => {})
  server.on('stream', (anyStream, headers, flags, rawHeaders) => {
    const stream = anyStream as ServerHttp2Stream
    // Resets and protocol errors arrive here; the exchange notices by the stream's close.
    stream.on('error', () => {})
    const held = stream.session === undefined ? undefined : heldOf.get(stream.session)
    if (held === undefined) return void stream.close(constants.NGHTTP2_REFUSED_STREAM)
    if (deps.hot(stream, headers, flags, rawHeaders, held)) return
    held.begin()
    const sent = sentOn(stream, headers, flags, rawHeaders, held.connection)
    const exchange = createExchange(sent, wireOf(stream, sent), deps.deadlines, deps.log)
    stream.once('close', () => held.finish())
    deps.exchange(exchange)
  })
  return {
    accept(socket, connection) {
      arriving = (session) => {
        const leave = (isBusy: boolean): void => {
          if (!session.closed && !session.destroyed) session.close()
          if (!isBusy) deps.deadlines.arm(FAREWELL_MS, () => void socket.destroy())
        }
        // First only "no more than these": what the client sends before it has read this is still answered,
        // where the runtime does that. Else the client has to know at once what it shall ask for anew.
        const announce = (): void => {
          if (session.closed || session.destroyed) return
          if (servesAfterGoaway) session.goaway(constants.NGHTTP2_NO_ERROR, MAX_STREAM_ID)
          else session.close()
        }
        const held = holdConnection(connection, deps.deadlines, leave, announce)
        heldOf.set(session, held)
        deps.open.add(socket, held)
        session.setLocalWindowSize(UPLOAD_WINDOW_BYTES)
        session.on('error', () => void socket.destroy())
      }
      socket.on('error', () => void socket.destroy())
      server.emit('secureConnection', socket)
      arriving = null
    },
  }
}

function sentOn(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  rawHeaders: readonly string[],
  connection: Connection,
): Sent {
  return {
    connection,
    protocol: 'HTTP/2.0',
    method: headers[':method'] ?? '',
    target: headers[':path'] ?? '',
    authority: headers[':authority'] ?? null,
    headers,
    rawHeaders: withoutPseudo(rawHeaders),
    body: stream,
    hasBody: (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0,
    upgrade: null,
    expectsContinue: headers.expect === '100-continue',
  }
}

function withoutPseudo(rawHeaders: readonly string[]): string[] {
  const kept: string[] = []
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? ''
    if (!name.startsWith(':')) kept.push(name, rawHeaders[at + 1] ?? '')
  }
  return kept
}

function wireOf(stream: ServerHttp2Stream, sent: Sent): Wire {
  let isAborted = false
  // An answer that is complete before the request is: the rest is not wanted (RFC 9113 section 8.1).
  stream.once('finish', () => {
    if (sent.hasBody && !stream.readableEnded && !stream.closed) stream.close(constants.NGHTTP2_NO_ERROR)
  })
  return {
    out: stream,
    head(status, fields) {
      if (stream.headersSent || stream.destroyed || stream.closed) return
      const headers = { ':status': status, ...grouped(fields) }
      const isOpenEnded =
        sent.method !== 'HEAD' && status !== 204 && status !== 304 && headers['content-length'] === undefined
      // An abort first ends what was written, and without a length that would look whole. With
      // trailers announced the end is not sent until we say so.
      if (isOpenEnded)
        stream.once('wantTrailers', () => void (isAborted || stream.destroyed || stream.sendTrailers({})))
      stream.respond(headers, { waitForTrailers: isOpenEnded })
    },
    sendContinue() {
      if (!stream.headersSent && !stream.destroyed) stream.additionalHeaders({ ':status': 100 })
    },
    abort() {
      isAborted = true
      stream.close(constants.NGHTTP2_INTERNAL_ERROR)
    },
  }
}

/** Fields as the runtime's HTTP/2 takes them; those that HTTP/2 forbids are left out. */
export function grouped(fields: Fields): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = Object.create(null)
  for (const [name, value] of fields) {
    if (CONNECTION_FIELDS.has(name)) continue
    const before = headers[name]
    headers[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [String(before)]), value]
  }
  return headers
}
