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
}
