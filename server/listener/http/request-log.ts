import type { Connection } from './connection.ts'

/** Why a request was refused before a site could answer it. */
export type RefusalReason =
  /** 421: we serve the host, but for another site than the one whose name was in the handshake. */
  | 'other-site'
  /** 421: as above, on a connection without a server name. */
  | 'no-server-name'
  /** 404: nobody has this host here. */
  | 'unknown-host'
  /** 400, 431, 501: a head that no site may answer. */
  | 'bad-head'
  /** 503. */
  | 'suspended'
  /** A limit of the site, the tenant or the client's address. */
  | 'limit'

/**
 * One request that is over, however it was answered: by the fast path, by the proxy's byte path, or as an
 * exchange. Made once, when the last byte has left or the client is gone; of a tunnel, at its end.
 */
export type RequestEntry = {
  readonly connection: Connection
  /** Who answered; null where no site did (421, 404 for a foreign host, a malformed head). */
  readonly siteId: string | null
  /** As the client sent them, or empty; checked for length by the parser, never for content. */
  readonly host: string
  readonly method: string
  readonly target: string
  readonly protocol: 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2.0'
  /** 0 where the connection ended before an answer. */
  readonly status: number
  /** Body bytes that were handed to the connection. */
  readonly bytes: number
  /** Body bytes that the client sent and somebody took: of a tunnel all of its own. None on the paths for GET and HEAD alone. */
  readonly bytesIn: number
  readonly durationMs: number
  readonly referer: string
  readonly userAgent: string
  readonly reason?: RefusalReason
}

/** Takes entries; must cost next to nothing and never throw: it is called on the request path. */
export type RequestLog = (entry: RequestEntry) => void
