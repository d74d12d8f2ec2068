import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { unmapped } from '../../contract/reach.ts'
import type { Announced } from '../proxy-protocol.ts'

/** What the TLS side knows of a connection when it hands it over. Addresses without `::ffff:`. */
export type Connection = {
  /** The site that the handshake was for; null on port 80, where each request's Host decides. */
  readonly siteId: string | null
  /** The normalised server name; null when the client sent none (an address literal counts as none). */
  readonly serverName: string | null
  readonly remoteAddress: string
  /** The address that the client dialled. */
  readonly localAddress: string
  readonly isSecure: boolean
  /** Milliseconds since 1970. */
  readonly acceptedAtMs: number
  /**
   * What the handshake agreed on; null on the plain port. Read from the socket by the first call, which must
   * come while the socket is open, and kept: each value costs a native call.
   */
  tls(): TlsFacts | null
}

/** What a handshake agreed on. */
export type TlsFacts = {
  /** `TLSv1.3`, `TLSv1.2`, `TLSv1.1`, `TLSv1`; empty when the socket was gone before anybody asked. */
  readonly version: string
  /** The suite, in the TLS library's spelling; empty as above. */
  readonly cipher: string
  readonly isResumed: boolean
}

/** The connection of a socket of the plain port. */
export function plainConnection(socket: Socket, announced: Announced | null = null): Connection {
  return { siteId: null, serverName: null, isSecure: false, ...endsOf(socket, announced), tls: () => null }
}

/** The connection behind a finished handshake: `socket` is the accepted one, `secure` the TLS socket over it. */
export function secureConnection(
  socket: Socket,
  secure: TLSSocket,
  vhost: { readonly siteId: string; readonly serverName: string | null },
  announced: Announced | null = null,
): Connection {
  const { siteId, serverName } = vhost
  let facts: TlsFacts | null = null
  const tls = (): TlsFacts => {
    facts ??= factsOf(secure)
    return facts
  }
  return { siteId, serverName, isSecure: true, ...endsOf(socket, announced), tls }
}

/** `announced`: what a load balancer has said by the PROXY protocol counts in place of the socket's own ends. */
function endsOf(
  socket: Socket,
  announced: Announced | null,
): Pick<Connection, 'remoteAddress' | 'localAddress' | 'acceptedAtMs'> {
  return {
    remoteAddress: announced?.remoteAddress ?? unmapped(socket.remoteAddress ?? ''),
    localAddress: announced?.localAddress ?? unmapped(socket.localAddress ?? ''),
    acceptedAtMs: Date.now(),
  }
}

function factsOf(secure: TLSSocket): TlsFacts {
  // A destroyed socket answers null, whatever the types say.
  const cipher = secure.getCipher() as { name?: string } | null | undefined
  return { version: secure.getProtocol() ?? '', cipher: cipher?.name ?? '', isResumed: secure.isSessionReused() }
}
