import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Reach } from '../../contract/reach.ts'
import type { RecordKind } from '../../contract/records.ts'
import type { Deadlines } from '../deadlines.ts'
import type { EdgeReader } from '../edge-store.ts'
import type { Connection } from './connection.ts'

export type { Connection }

/** What the HTTP side of a worker needs. */
export type HttpDeps = {
  readonly reader: EdgeReader
  /** Blobs by digest: `<blobsFolder>/<first two hex>/<digest>`. */
  readonly blobsFolder: string
  readonly reach: Reach
  readonly deadlines: Deadlines
  /** Port that redirects from port 80 lead to; 443 when left out. */
  readonly httpsPort?: number
}

/** The HTTP side of a worker. None of its calls throws for what a client does. */
export type HttpServers = {
  /** Takes over an established TLS socket; its deadlines, errors and end are looked after here from now on. */
  accept(socket: TLSSocket, protocol: 'h2' | 'http/1.1', connection: Connection): void
  /** Takes over a socket of the plain port. */
  acceptPlain(socket: Socket, connection: Connection): void
  /** Drops what is cached for these records, negative answers included, before it returns. */
  invalidate(keys: readonly { kind: RecordKind; key: string }[]): void
  /** Ends idle connections and lets busy ones finish what they began. */
  drain(): void
  readonly openConnections: number
}

/** Makes the HTTP servers of one worker. They never listen: sockets are handed to them. */
export function createHttpServers(deps: HttpDeps): HttpServers {
  const sockets = new Set<Socket>([])
  void deps
  const adopt = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.destroy()
  }
  return {
    accept: adopt,
    acceptPlain: adopt,
    invalidate: () => {},
    drain: () => {},
    get openConnections() {
      return sockets.size
    },
  }
}
