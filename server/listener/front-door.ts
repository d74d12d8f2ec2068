import type { Socket } from 'node:net'
import { type SecureContext, TLSSocket } from 'node:tls'
import { unmapped } from '../contract/reach.ts'
import { clearTextAnswer } from './clear-text.ts'
import { MAX_PEEK_BYTES, type Peeked, parseClientHello } from './client-hello.ts'
import type { Contexts } from './contexts.ts'
import type { Deadline, Deadlines } from './deadlines.ts'
import type { EdgeReader } from './edge-store.ts'
import type { ClientHello } from './hello-body.ts'
import { plainConnection, secureConnection } from './http/connection.ts'
import type { HttpServers } from './http/servers.ts'
import { alertRecord, type TlsAlert, tlsAlert } from './tls-alert.ts'
import { findVhost } from './vhost.ts'

/** From accept to the last byte of the ClientHello; bytes that trickle in do not extend it. */
const HELLO_MS = 5_000
/** From the ClientHello to the end of the handshake. */
const HANDSHAKE_MS = 10_000
/** `h2` and `http/1.1` as they are on the wire (RFC 7301): encoded once, not per connection. */
const ALPN = Buffer.from('\x02h2\x08http/1.1', 'latin1')

/** What the door of a worker needs. */
export type FrontDoorDeps = {
  readonly reader: Pick<EdgeReader, 'get'>
  readonly contexts: Contexts
  readonly servers: Pick<HttpServers, 'accept' | 'acceptPlain'>
  readonly deadlines: Deadlines
  /** Connections above this are closed at once: running out of descriptors makes Bun spin. */
  readonly maxConnections: number
  /** Told of what should not happen: records that cannot be read. The connection was refused. */
  readonly report: (error: Error) => void
}

/** Where connections come in, until their handshake is done and the HTTP side takes them. */
export type FrontDoor = {
  /** Of the TLS ports. */
  admit(socket: Socket): void
  /** Of the plain ports. */
  admitPlain(socket: Socket): void
  /** All connections from accept to close, those of the HTTP side included; the rest since the start. */
  counters(): { connections: number; handshakes: number; refused: number }
}

/** A connection whose first bytes are being read. */
type Arrival = {
  readonly socket: Socket
  readonly deadline: Deadline
  chunks: Buffer[]
  total: number
  atLeast: number
}

type Verdict =
  | Extract<Peeked, { kind: 'hello' | 'bad' }>
  | { readonly kind: 'wait'; readonly atLeast: number }
  | { readonly kind: 'clear-text'; readonly words: string }

/** Makes the door. Nothing that a client sends makes its methods throw. */
export function createFrontDoor(deps: FrontDoorDeps): FrontDoor {
  const { reader, contexts, servers, deadlines } = deps
  const open = new Set<Socket>()
  let handshakes = 0
  let refused = 0

  const enter = (socket: Socket): boolean => {
    socket.on('error', () => socket.destroy())
    if (open.size >= deps.maxConnections) {
      socket.destroy()
      return false
    }
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    return true
  }
  const refuse = (socket: Socket, alert: TlsAlert | null): void => {
    refused += 1
    if (alert === null) socket.destroy()
    else closeWith(socket, alertRecord(alert))
  }
  const welcome = (arrival: Arrival, hello: ClientHello, first: Buffer): void => {
    const { socket, deadline } = arrival
    const localAddress = (): string => unmapped(socket.localAddress ?? '')
    const vhost = findVhost(reader, hello.serverName, localAddress)
    const context = vhost === null ? null : contexts.of({ ...vhost, ticketNames: hello.ticketNames })
    if (context === 'later') {
      contexts.wait(() => {
        if (!socket.destroyed) guarded(socket, () => welcome(arrival, hello, first))
      })
      return
    }
    if (vhost === null || context === null) {
      refuse(socket, tlsAlert.unrecognizedName)
      return
    }
    deadline.rearm(HANDSHAKE_MS)
    const secure = wrap(socket, context, first)
    secure.once('close', () => deadline.clear())
    secure.once('secure', () => {
      deadline.clear()
      handshakes += 1
      // The HTTP/2 server waits for this flag, which only tls.Server would clear.
      ;(secure as TLSSocket & { secureConnecting: boolean }).secureConnecting = false
      servers.accept(secure, secure.alpnProtocol === 'h2' ? 'h2' : 'http/1.1', secureConnection(socket, secure, vhost))
    })
  }
  const guarded = (socket: Socket, work: () => void): void => {
    try {
      work()
    } catch (error) {
      refuse(socket, tlsAlert.internalError)
      deps.report(error as Error)
    }
  }
  const act = (arrival: Arrival, first: Buffer, verdict: Exclude<Verdict, { kind: 'wait' }>): void => {
    if (verdict.kind === 'hello') welcome(arrival, verdict.hello, first)
    else if (verdict.kind === 'bad') refuse(arrival.socket, verdict.alert)
    else closeWith(arrival.socket, verdict.words)
  }
  return {
    admit(socket) {
      if (!enter(socket)) return
      const deadline = deadlines.arm(HELLO_MS, () => socket.destroy())
      const arrival: Arrival = { socket, deadline, chunks: [], total: 0, atLeast: 1 }
      socket.once('close', () => deadline.clear())
      const peek = (chunk: Buffer): void => {
        arrival.chunks.push(chunk)
        arrival.total += chunk.length
        if (arrival.total < arrival.atLeast) return
        const first = Buffer.concat(arrival.chunks)
        arrival.chunks = [first]
        try {
          const verdict = judge(first, reader, socket.localPort ?? 443)
          arrival.atLeast = verdict.kind === 'wait' ? verdict.atLeast : 0
          if (verdict.kind === 'wait') return
          socket.removeListener('data', peek)
          socket.pause()
          act(arrival, first, verdict)
        } catch (error) {
          socket.removeListener('data', peek)
          refuse(socket, tlsAlert.internalError)
          deps.report(error as Error)
        }
      }
      socket.on('data', peek)
    },
    admitPlain(socket) {
      if (enter(socket)) servers.acceptPlain(socket, plainConnection(socket))
    },
    counters: () => ({ connections: open.size, handshakes, refused }),
  }
}

/** What the first bytes of a connection lead to. `wait`: nothing yet. */
function judge(first: Buffer, reader: Pick<EdgeReader, 'get'>, port: number): Verdict {
  const peeked = parseClientHello(first)
  if (peeked.kind === 'need-more') {
    const isTooMuch = first.length > MAX_PEEK_BYTES
    return isTooMuch ? { kind: 'bad', alert: tlsAlert.decodeError } : { kind: 'wait', atLeast: peeked.atLeast }
  }
  if (peeked.kind === 'sslv2') return { kind: 'bad', alert: null }
  if (peeked.kind !== 'plain-http') return peeked
  const words = clearTextAnswer(first, reader, port)
  return words === null ? { kind: 'wait', atLeast: first.length + 1 } : { kind: 'clear-text', words }
}

/**
 * Begins TLS on a socket whose first bytes were read. In the same tick as the choice of the context:
 * a socket that died meanwhile, or an evicted context, would throw outside of any handler.
 */
function wrap(socket: Socket, context: SecureContext, first: Buffer): TLSSocket {
  socket.unshift(first)
  const secure = new TLSSocket(socket, { isServer: true, secureContext: context, ALPNProtocols: ALPN })
  secure.on('error', () => {
    secure.destroy()
    socket.destroy()
  })
  return secure
}

/** Sends the last words and closes; what the client still sends is not read. */
function closeWith(socket: Socket, words: Buffer | string): void {
  socket.end(words)
  socket.destroySoon()
}
