import type { Socket } from 'node:net'
import { type SecureContext, TLSSocket } from 'node:tls'
import { covers } from '../contract/names.ts'
import type { Contexts } from './contexts.ts'
import type { DoorRecords } from './door-records.ts'
import type { ClientHello } from './hello-body.ts'
import { secureConnection, type TlsFacts } from './http/connection.ts'
import type { HttpServers } from './http/servers.ts'
import type { RefusalReason } from './refusals.ts'
import { type TlsAlert, tlsAlert } from './tls-alert.ts'
import { isOldClient, type TlsProfile } from './tls-profiles.ts'
import { findVhost, servedForm, type Vhost } from './vhost.ts'
import type { Visitor } from './visitor.ts'

/** From the ClientHello to the end of the handshake. */
const HANDSHAKE_MS = 10_000
/** `h2` and `http/1.1` as they are on the wire (RFC 7301): encoded once, not per connection. */
const HTTP = Buffer.from('\x02h2\x08http/1.1', 'latin1')
/** RFC 8737 section 6.2. */
const ACME = 'acme-tls/1'
const ACME_ONLY = Buffer.from(`\x0a${ACME}`, 'latin1')
/** From the end of a challenge's handshake to the end of its connection, at most. */
const GOODBYE_MS = 2_000
/** Of a hello in SSLv2 format the TLS library alone reads the rest: it has no names and no extensions. */
const sslv2Hello: ClientHello = { serverName: null, alpn: [], versions: [], suites: [], groups: [], ticketNames: [] }

/** What handshakes need. */
export type HandshakeDeps = {
  readonly records: DoorRecords
  readonly contexts: Contexts
  readonly servers: Pick<HttpServers, 'accept'>
  /** Told of each finished handshake of a visitor, for counters. */
  readonly onHandshake?: ((hello: ClientHello, facts: TlsFacts) => void) | undefined
  readonly refuse: Refuse
  readonly failed: (visitor: Visitor) => (error: Error) => void
}

type Offer = { readonly profile: TlsProfile; readonly certificates: readonly string[] }

/** Counts the reason, says the alert and closes. */
export type Refuse = (visitor: Visitor, reason: RefusalReason, alert?: TlsAlert | null) => void

/** Handshakes from the ClientHello on. */
export type Handshakes = {
  /** `first`: all bytes so far. `hello`: null for one in SSLv2 format. The socket is paused. */
  begin(visitor: Visitor, first: Buffer, hello: ClientHello | null): void
  /** How many were finished. */
  readonly done: number
}

/** Makes them. */
export function createHandshakes(deps: HandshakeDeps): Handshakes {
  const { records, contexts, refuse } = deps
  let done = 0

  /** Now, or in a later turn of the event loop where this one has built enough; the deadline goes on. */
  const whenBuilt = (
    visitor: Visitor,
    ask: () => SecureContext | null | 'later',
    use: (c: SecureContext | null) => void,
  ) => {
    const attempt = (): void => {
      if (visitor.socket.destroyed) return
      try {
        const context = ask()
        if (context === 'later') contexts.wait(attempt)
        else use(context)
      } catch (error) {
        deps.failed(visitor)(error as Error)
      }
    }
    attempt()
  }
  /** `established` has a socket whose handshake is done. One that fails is counted when the visitor's socket closes. */
  const start = (
    visitor: Visitor,
    first: Buffer,
    context: SecureContext,
    alpn: Buffer,
    established: (secure: TLSSocket) => void,
  ): void => {
    visitor.deadline.rearm(HANDSHAKE_MS)
    visitor.isShaking = true
    const secure = wrap(visitor.socket, context, first, alpn)
    secure.once('secure', () => {
      visitor.isShaking = false
      visitor.deadline.clear()
      done += 1
      // The HTTP/2 server waits for this flag, which only tls.Server would clear.
      ;(secure as TLSSocket & { secureConnecting: boolean }).secureConnecting = false
      established(secure)
    })
  }
  const serve = (visitor: Visitor, first: Buffer, context: SecureContext, vhost: Vhost, hello: ClientHello): void =>
    start(visitor, first, context, HTTP, (secure) => {
      visitor.site?.settle()
      const protocol = secure.alpnProtocol === 'h2' ? 'h2' : 'http/1.1'
      const connection = secureConnection(visitor, secure, vhost)
      const facts = connection.tls()
      if (facts !== null) deps.onHandshake?.(hello, facts)
      deps.servers.accept(secure, protocol, connection)
    })
  const prove = (visitor: Visitor, first: Buffer, rawName: string | null): void => {
    const name = rawName === null ? null : servedForm(rawName)
    whenBuilt(
      visitor,
      () => (name == null ? null : contexts.ofChallenge(name)),
      (context) => {
        if (context === null) return void refuse(visitor, 'challenge', tlsAlert.noApplicationProtocol)
        start(visitor, first, context, ACME_ONLY, (secure) => {
          visitor.deadline.rearm(GOODBYE_MS)
          secure.end()
        })
      },
    )
  }
  /** How TLS is spoken with this client, and with which certificates. */
  const offerFor = (visitor: Visitor, hello: ClientHello, vhost: Vhost): Offer => {
    const modern: Offer = { profile: 'modern', certificates: vhost.certificates }
    if (!isOldClient(hello)) return modern
    const address = records.get('address', visitor.localAddress())
    if (address === null || address.legacyTls === 'none' || address.siteId !== vhost.siteId) return modern
    const { serverName } = vhost
    if (serverName === null) return { ...modern, profile: address.legacyTls }
    // Such clients know RSA alone, and a name has one certificate: another one of its site may have the name in it too.
    const others = address.certificates.filter(
      (one) =>
        !vhost.certificates.includes(one) &&
        records.get('certificate', one)?.names.some((name) => covers(name, serverName)) === true,
    )
    return { profile: address.legacyTls, certificates: [...vhost.certificates, ...others] }
  }
  /** False: it was refused. */
  const placeAt = (visitor: Visitor, siteId: string): boolean => {
    const site = records.site(siteId)
    visitor.site = visitor.client?.enterSite(siteId, site?.tenantId ?? null, site?.maxConnections ?? null) ?? null
    if (visitor.site === null) refuse(visitor, 'limit')
    return visitor.site !== null
  }
  const welcome = (visitor: Visitor, first: Buffer, hello: ClientHello, isSslv2: boolean): void => {
    const vhost = findVhost(records, hello.serverName, () => visitor.localAddress())
    if (vhost === null && !isSslv2) {
      return void refuse(visitor, hello.serverName === null ? 'noName' : 'unknownName', tlsAlert.unrecognizedName)
    }
    const offer = vhost === null ? null : offerFor(visitor, hello, vhost)
    if (vhost === null || offer === null || (isSslv2 && offer.profile === 'modern'))
      return void refuse(visitor, 'badHello')
    if (!placeAt(visitor, vhost.siteId)) return
    whenBuilt(
      visitor,
      () => contexts.of({ siteId: vhost.siteId, ...offer, ticketNames: hello.ticketNames }),
      (context) => {
        if (context === null) refuse(visitor, 'noCertificate', tlsAlert.unrecognizedName)
        else serve(visitor, first, context, vhost, hello)
      },
    )
  }
  return {
    begin(visitor, first, hello) {
      if (visitor.client?.mayHandshake() !== true) refuse(visitor, 'limit')
      else if (hello?.alpn.length === 1 && hello.alpn[0] === ACME) prove(visitor, first, hello.serverName)
      else welcome(visitor, first, hello ?? sslv2Hello, hello === null)
    },
    get done() {
      return done
    },
  }
}

/**
 * Begins TLS on a socket whose first bytes were read. In the same tick as the choice of the context:
 * a socket that died meanwhile, or an evicted context, would throw outside of any handler.
 */
function wrap(socket: Socket, secureContext: SecureContext, first: Buffer, ALPNProtocols: Buffer): TLSSocket {
  socket.unshift(first)
  const secure = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols })
  secure.on('error', () => {
    secure.destroy()
    socket.destroy()
  })
  return secure
}
