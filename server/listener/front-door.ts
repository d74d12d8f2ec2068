import type { Socket } from 'node:net'
import { unmapped } from '../contract/reach.ts'
import type { RecordKind } from '../contract/records.ts'
import { createAdmission, type Place } from './admission.ts'
import type { Contexts } from './contexts.ts'
import type { Deadlines } from './deadlines.ts'
import { createDoorRecords } from './door-records.ts'
import type { EdgeReader } from './edge-store.ts'
import { type FirstBytes, judgeFirstBytes } from './first-bytes.ts'
import { createHandshakes, type HandshakeDeps } from './handshake.ts'
import { plainConnection } from './http/connection.ts'
import type { HttpServers } from './http/servers.ts'
import { peekAt, type Wait } from './peek.ts'
import { type Announced, parseProxyHeader } from './proxy-protocol.ts'
import { createRefusals, type RefusalReason } from './refusals.ts'
import { alertRecord, type TlsAlert, tlsAlert } from './tls-alert.ts'
import type { Visitor } from './visitor.ts'

/** From accept to the last byte of the ClientHello, a PROXY header included; bytes that trickle in do not extend it. */
const HELLO_MS = 5_000
const nothing = Buffer.alloc(0)

/** What the door of a worker needs. */
export type FrontDoorDeps = {
  readonly reader: Pick<EdgeReader, 'get'>
  readonly contexts: Contexts
  readonly servers: Pick<HttpServers, 'accept' | 'acceptPlain'>
  readonly deadlines: Deadlines
  /** Connections above this are closed at once. */
  readonly maxConnections: number
  /** Whether descriptors are left: running out of them makes Bun spin. */
  readonly hasRoom: () => boolean
  /** Whether an address is a load balancer that says by the PROXY protocol for whom it connects. */
  readonly isProxy: (address: string) => boolean
  /** Told of each finished handshake, for counters. */
  readonly onHandshake?: HandshakeDeps['onHandshake']
  /** Told of what should not happen: records that cannot be read. The connection was refused. */
  readonly report: (error: Error) => void
}

/** Where connections come in, until their handshake is done and the HTTP side takes them. */
export type FrontDoor = {
  /** Of the TLS ports. */
  admit(socket: Socket): void
  /** Of the plain ports. */
  admitPlain(socket: Socket): void
  /** Drops what it remembers of these records, negative answers included. */
  invalidate(keys: readonly { kind: RecordKind; key: string }[]): void
  /** All connections from accept to close, those of the HTTP side included; the rest since the start. */
  counters(): {
    connections: number
    handshakes: number
    refused: number
    refusedBy: Readonly<Record<RefusalReason, number>>
  }
}

/** Makes the door. Nothing that a client sends makes its methods throw. */
export function createFrontDoor(deps: FrontDoorDeps): FrontDoor {
  const { servers, deadlines } = deps
  const open = new Set<Socket>()
  const records = createDoorRecords(deps.reader)
  const refusals = createRefusals()
  const admission = createAdmission(records.limits)
  const counted = new WeakSet<Socket>()
  /** Each connection counts once, by what ended it first. */
  const refuse = (socket: Socket, reason: RefusalReason, alert: TlsAlert | null = null): void => {
    if (!counted.has(socket)) refusals.count(reason)
    counted.add(socket)
    if (alert === null) socket.destroy()
    else closeWith(socket, alertRecord(alert))
  }
  const failed = (socket: Socket) => (error: Error) => {
    refuse(socket, 'internal', tlsAlert.internalError)
    deps.report(error)
  }
  const handshakes = createHandshakes({ ...deps, records, admission, refuse, failed })

  const take = (socket: Socket): boolean => {
    socket.on('error', () => socket.destroy())
    if (open.size >= deps.maxConnections || !deps.hasRoom()) {
      refuse(socket, 'full')
      return false
    }
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    return true
  }
  /** A place for the client's address until the connection ends; false when it was refused. */
  const place = (socket: Socket, address: string): boolean => {
    const taken: Place | null = admission.enter(address)
    if (taken === null) refuse(socket, 'limit')
    else socket.once('close', taken.leave)
    return taken !== null
  }
  /** Finds out who the client is, then calls `enter` with what came behind the PROXY header, if there is one. */
  const identify = (socket: Socket, enter: (visitor: Visitor, begun: Buffer) => void): void => {
    const peer = unmapped(socket.remoteAddress ?? '')
    const deadline = deadlines.arm(HELLO_MS, () => refuse(socket, 'timeout'))
    socket.once('close', () => deadline.clear())
    const meet = (announced: Announced | null, begun: Buffer): void => {
      const visitor: Visitor = {
        socket,
        deadline,
        announced,
        remoteAddress: announced?.remoteAddress ?? peer,
        localAddress: () => announced?.localAddress ?? unmapped(socket.localAddress ?? ''),
      }
      if (place(socket, visitor.remoteAddress)) enter(visitor, begun)
    }
    if (!deps.isProxy(peer)) {
      meet(null, nothing)
      return
    }
    peekAt(socket, {
      begun: nothing,
      judge: (first): Wait | Exclude<ReturnType<typeof parseProxyHeader>, { kind: 'need-more' }> => {
        const header = parseProxyHeader(first)
        return header.kind === 'need-more' ? { kind: 'wait', atLeast: header.atLeast } : header
      },
      done: (first, header) => {
        if (header.kind === 'bad') refuse(socket, 'proxyHeader')
        else meet(header.announced, first.subarray(header.length))
      },
      failed: failed(socket),
    })
  }
  const act = (visitor: Visitor, first: Buffer, verdict: FirstBytes): void => {
    const { socket } = visitor
    if (verdict.kind === 'hello' || verdict.kind === 'sslv2') {
      handshakes.begin(visitor, first, verdict.kind === 'hello' ? verdict.hello : null)
    } else if (verdict.kind === 'bad') refuse(socket, 'badHello', verdict.alert)
    else {
      refusals.count('clearText')
      closeWith(socket, verdict.words)
    }
  }
  return {
    admit(socket) {
      if (!take(socket)) return
      identify(socket, (visitor, begun) =>
        peekAt(socket, {
          begun,
          judge: (first) => judgeFirstBytes(first, records, socket.localPort ?? 443),
          done: (first, verdict) => act(visitor, first, verdict),
          failed: failed(socket),
        }),
      )
    },
    admitPlain(socket) {
      if (!take(socket)) return
      identify(socket, ({ announced, deadline }, begun) => {
        deadline.clear()
        if (begun.length > 0) socket.unshift(begun)
        servers.acceptPlain(socket, plainConnection(socket, announced))
        if (announced !== null || begun.length > 0) socket.resume()
      })
    },
    invalidate: (keys) => records.drop(keys),
    counters: () => ({
      connections: open.size,
      handshakes: handshakes.done,
      refused: refusals.total,
      refusedBy: refusals.byReason,
    }),
  }
}

/** Sends the last words and closes; what the client still sends is not read. */
function closeWith(socket: Socket, words: Buffer | string): void {
  socket.end(words)
  socket.destroySoon()
}
