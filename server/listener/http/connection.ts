import type { TLSSocket } from 'node:tls'

/** What the TLS side knows of a connection when it hands it over. Addresses without `::ffff:`. */
export type Connection = {
  /** The site that the handshake was for; null on port 80, where each request's Host decides. */
  readonly siteId: string | null
  /** The normalised server name; null when the client sent none (an address literal counts as none). */
  readonly serverName: string | null
  readonly remoteAddress: string
  /** The address that the client dialled; reading it costs a system call. Empty once the socket is gone. */
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

/** The two ends of a connection, without `::ffff:`, as a load balancer has announced them or as the socket has them. */
export type Ends = { readonly remoteAddress: string; localAddress(): string }

/** The connection of a visitor of the plain port. */
export function plainConnection(ends: Ends): Connection {
  return connectionOf({ siteId: null, serverName: null }, ends, null)
}

/** The connection behind a finished handshake: `secure` is the TLS socket. */
export function secureConnection(
  ends: Ends,
  secure: TLSSocket,
  vhost: { readonly siteId: string; readonly serverName: string | null },
): Connection {
  return connectionOf(vhost, ends, secure)
}

function connectionOf(
  { siteId, serverName }: Pick<Connection, 'siteId' | 'serverName'>,
  ends: Ends,
  secure: TLSSocket | null,
): Connection {
  let facts: TlsFacts | null = null
  return {
    siteId,
    serverName,
    isSecure: secure !== null,
    remoteAddress: ends.remoteAddress,
    get localAddress() {
      return ends.localAddress()
    },
    acceptedAtMs: Date.now(),
    tls() {
      if (secure !== null) facts ??= factsOf(secure)
      return facts
    },
  }
}

function factsOf(secure: TLSSocket): TlsFacts {
  // A destroyed socket answers null, whatever the types say.
  const cipher = secure.getCipher() as { name?: string } | null | undefined
  return { version: secure.getProtocol() ?? '', cipher: cipher?.name ?? '', isResumed: secure.isSessionReused() }
}
