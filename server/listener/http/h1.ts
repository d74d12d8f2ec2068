import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Deadlines } from '../deadlines.ts'
import type { Connection } from './connection.ts'
import { createExchange, type Exchange, type Sent, type Wire } from './exchange.ts'
import { type Held, type HeldSet, holdConnection } from './held.ts'
import { FAREWELL_MS, MAX_HEAD_BYTES, MAX_PIPELINED } from './limits.ts'
import type { RequestEntry, RequestLog } from './request-log.ts'

/** HTTP/1.1 on sockets that are handed over. */
export type Http1 = {
  /** `mayUpgrade`: the site speaks WebSocket; otherwise `Upgrade` is ignored, as RFC 9110 section 7.8 allows. */
  accept(socket: Socket, connection: Connection, options: { mayUpgrade: boolean }): void
}

/** Makes the servers of a worker; they never listen. */
export function createHttp1(deps: {
  exchange: (exchange: Exchange) => void
  deadlines: Deadlines
  open: HeldSet
  log: RequestLog
}): Http1 {
  const heldOf = new WeakMap<object, Held>()
  const waiting = new WeakMap<Socket, Exchange[]>()
  // What was sent behind a request that ends its connection is never answered, though it was parsed already.
  const ending = new WeakSet<Socket>()
  const serve = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void => {
    const { socket } = request
    const held = heldOf.get(socket)
    if (held === undefined || held.active >= MAX_PIPELINED) return void socket.destroy()
    // The parser of both runtimes lets HTTP/2.0 through.
    if (request.httpVersionMajor !== 1) return void refuse(socket, {}, heldOf)
    held.begin()
    // Somebody who leaves in mid-body is seen by the exchange.
    request.on('error', () => {})
    const sent = sentBy(request, held.connection, expectsContinue, null)
    const exchange = createExchange(sent, wireOf(response, sent, socket, held, ending), deps.deadlines, deps.log)
    exchange.onClose(() => {
      // An unread body is thrown away; the idle deadline bounds how long that may take.
      if (!request.readableEnded) request.resume()
      held.finish()
      const next = waiting.get(socket)?.shift()
      if (next !== undefined && !socket.destroyed && !ending.has(socket)) deps.exchange(next)
    })
    // Pipelined requests wait for their turn, so that no answer has to lie in memory for another.
    if (held.active === 1) deps.exchange(exchange)
    else waiting.set(socket, [...(waiting.get(socket) ?? []), exchange])
  }
  const make = (): Server => {
    const server = createServer({
      maxHeaderSize: MAX_HEAD_BYTES,
      keepAliveTimeout: 0,
      headersTimeout: 0,
      requestTimeout: 0,
      requireHostHeader: false,
    })
    server.on('request', (request, response) => serve(request, response, false))
    server.on('checkContinue', (request, response) => serve(request, response, true))
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => refuse(socket as Socket, error, heldOf))
    return server
  }
  const plain = make()
  const upgrading = make()
  upgrading.on('upgrade', (request, stream, head) => {
    const socket = stream as Socket
    const held = heldOf.get(request.socket) ?? heldOf.get(socket)
    if (held === undefined || held.active > 0) return void socket.destroy()
    held.release()
    const sent = sentBy(request, held.connection, false, { socket, head })
    deps.exchange(createExchange(sent, rawWire(socket, deps.deadlines), deps.deadlines, deps.log))
  })
  return {
    accept(socket, connection, { mayUpgrade }) {
      const held = holdConnection(connection, deps.deadlines, (isBusy) => {
        if (isBusy) return
        socket.end()
        deps.deadlines.arm(FAREWELL_MS, () => void socket.destroy())
      })
      heldOf.set(socket, held)
      deps.open.add(socket, held)
      socket.on('error', () => void socket.destroy())
      const server = mayUpgrade ? upgrading : plain
      server.emit('connection', socket)
    },
  }

  function refuse(socket: Socket, error: { readonly code?: string | undefined }, held: WeakMap<object, Held>): void {
    const state = held.get(socket)
    if (state === undefined || state.active > 0 || !socket.writable) return void socket.destroy()
    const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
    state.release()
    deps.log(unreadable(state.connection, status))
    deps.deadlines.arm(FAREWELL_MS, () => void socket.destroy())
  }
}

/** What is known of a request whose head the parser refused. */
function unreadable(connection: Connection, status: number): RequestEntry {
  const nothing = { host: '', method: '', target: '', referer: '', userAgent: '', bytes: 0, bytesIn: 0, durationMs: 0 }
  return { connection, siteId: null, status, protocol: 'HTTP/1.1', ...nothing, reason: 'bad-head' }
}

function sentBy(
  request: IncomingMessage,
  connection: Connection,
  expectsContinue: boolean,
  upgrade: Sent['upgrade'],
): Sent {
  const { headers } = request
  return {
    connection,
    protocol: request.httpVersion === '1.0' ? 'HTTP/1.0' : 'HTTP/1.1',
    method: request.method ?? '',
    target: request.url ?? '',
    authority: null,
    headers,
    rawHeaders: request.rawHeaders,
    body: request,
    hasBody: headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0',
    upgrade,
    expectsContinue,
  }
}

function wireOf(response: ServerResponse, sent: Sent, socket: Socket, held: Held, ending: WeakSet<Socket>): Wire {
  // Whoever was not told to continue may send the body or not: only a closed connection is clear.
  let isUnclear = sent.expectsContinue
  return {
    out: response,
    head(status, fields, { close }) {
      const flat = fields.flat()
      if (close || held.isDraining || isUnclear) {
        flat.push('connection', 'close')
        ending.add(socket)
      }
      response.writeHead(status, flat)
    },
    sendContinue() {
      isUnclear = false
      response.writeContinue()
    },
    abort: () => void socket.destroy(),
  }
}

/** The answer to a request for an upgrade that is not granted: the parser is gone, so the connection ends with it. */
function rawWire(socket: Socket, deadlines: Deadlines): Wire {
  socket.once('finish', () => deadlines.arm(FAREWELL_MS, () => void socket.destroy()))
  return {
    out: socket,
    head(status, fields) {
      const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
      socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines}connection: close\r\n\r\n`, 'latin1')
    },
    sendContinue() {},
    abort: () => void socket.destroy(),
  }
}
