import type { Socket } from 'node:net'
import type { RecordKind } from '../contract/records.ts'
import { createAdmission } from './admission.ts'
import type { Contexts } from './contexts.ts'
import type { Deadlines } from './deadlines.ts'
import { createDoorRecords } from './door-records.ts'
import type { EdgeReader } from './edge-store.ts'
import { type FirstBytes, judgeFirstBytes } from './first-bytes.ts'
import { createHandshakes, type HandshakeDeps, type Refuse } from './handshake.ts'
import { plainConnection } from './http/connection.ts'
import type { HttpServers } from './http/servers.ts'
import { peekAt, type Wait } from './peek.ts'
import { parseProxyHeader } from './proxy-protocol.ts'
import { createRefusals, type RefusalReason } from './refusals.ts'
import { alertRecord, tlsAlert } from './tls-alert.ts'
import { Visitor } from './visitor.ts'

/** From accept to the last byte of the ClientHello, a PROXY header included; bytes that trickle in do not extend it. */
const HELLO_MS = 5_000
const nothing = Buffer.alloc(0)

/** What the door of a worker needs. */
export type FrontDoorDeps = {
  readonly reader: Pick<EdgeReader, 'get' | 'namesAfter'>
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
  let open = 0
  const records = createDoorRecords(deps.reader)
  const refusals = createRefusals()
  const admission = createAdmission(records.limits)
  /** Each connection counts once, by what ended it first. */
  const refuse: Refuse = (visitor, reason, alert = null) => {
    if (!visitor.isRefused) refusals.count(reason)
    visitor.isRefused = true
    if (alert === null) visitor.socket.destroy()
    else closeWith(visitor.socket, alertRecord(alert))
  }
  const failed = (visitor: Visitor) => (error: Error) => {
    refuse(visitor, 'internal', tlsAlert.internalError)
    deps.report(error)
  }
  const handshakes = createHandshakes({ ...deps, records, refuse, failed })

  /** Null: there is no room for it, and it is gone. */
  const take = (socket: Socket): Visitor | null => {
    socket.on('error', destroyIt)
    if (open >= deps.maxConnections || !deps.hasRoom()) {
      refusals.count('full')
      socket.destroy()
      return null
    }
    const visitor = new Visitor(
      socket,
      deadlines.arm(HELLO_MS, () => refuse(visitor, 'timeout')),
    )
    open += 1
    socket.once('close', () => {
      open -= 1
      if (visitor.isShaking) refuse(visitor, 'handshake')
      visitor.leave()
    })
    return visitor
  }
  /** A place for the client's address until the connection ends; false when it was refused. */
  const place = (visitor: Visitor): boolean => {
    visitor.client = admission.enter(visitor.remoteAddress)
    if (visitor.client === null) refuse(visitor, 'limit')
    return visitor.client !== null
  }
  /** Finds out who the client is, then calls `enter` with what came behind the PROXY header, if there is one. */
  const identify = (visitor: Visitor, enter: (begun: Buffer) => void): void => {
    if (!deps.isProxy(visitor.remoteAddress)) {
      if (place(visitor)) enter(nothing)
      return
    }
    peekAt(visitor.socket, {
      begun: nothing,
      judge: (first): Wait | Exclude<ReturnType<typeof parseProxyHeader>, { kind: 'need-more' }> => {
        const header = parseProxyHeader(first)
        return header.kind === 'need-more' ? { kind: 'wait', atLeast: header.atLeast } : header
      },
      done: (first, header) => {
        if (header.kind === 'bad') return void refuse(visitor, 'proxyHeader')
        if (header.announced !== null) visitor.announce(header.announced)
        if (place(visitor)) enter(first.subarray(header.length))
      },
      failed: failed(visitor),
    })
  }
  const act = (visitor: Visitor, first: Buffer, verdict: FirstBytes): void => {
    if (verdict.kind === 'hello' || verdict.kind === 'sslv2') {
      handshakes.begin(visitor, first, verdict.kind === 'hello' ? verdict.hello : null)
    } else if (verdict.kind === 'bad') refuse(visitor, 'badHello', verdict.alert)
    else {
      refusals.count('clearText')
      closeWith(visitor.socket, verdict.words)
    }
  }
  return {
    admit(socket) {
      const visitor = take(socket)
      if (visitor === null) return
      identify(visitor, (begun) =>
        peekAt(socket, {
          begun,
          judge: (first) => judgeFirstBytes(first, records, () => socket.localPort ?? 443),
          done: (first, verdict) => act(visitor, first, verdict),
          failed: failed(visitor),
        }),
      )
    },
    admitPlain(socket) {
      const visitor = take(socket)
      if (visitor === null) return
      identify(visitor, (begun) => {
        const { announced } = visitor
        visitor.deadline.clear()
        if (begun.length > 0) socket.unshift(begun)
        servers.acceptPlain(socket, plainConnection(visitor))
        if (announced !== null || begun.length > 0) socket.resume()
      })
    },
    invalidate: (keys) => records.drop(keys),
    counters: () => ({
      connections: open,
      handshakes: handshakes.done,
      refused: refusals.total,
      refusedBy: refusals.byReason,
    }),
  }
}

/**
 * Sends the last words, which the kernel takes at once on a connection that nothing was sent on before, and closes;
 * what the client still sends is not read.
 */
function closeWith(socket: Socket, words: Buffer | string): void {
  socket.write(words)
  socket.destroy()
}

/** One function for all sockets, not a closure for each. */
function destroyIt(this: Socket): void {
  this.destroy()
}
