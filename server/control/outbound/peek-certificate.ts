import { createHash } from 'node:crypto'
import { connect, type TLSSocket } from 'node:tls'
import { DialError } from './dialler.ts'

/** The certificate that a server shows; nothing of it is trusted or checked. */
export type PeekedCertificate = {
  /** SHA-256 of the leaf, hex, lower case. */
  readonly fingerprint: string
}

/** Where to look. `address` was judged by the caller, who may dial it; no name is resolved here. */
export type PeekTarget = { readonly address: string; readonly port: number; readonly serverName: string }

/** A server that does not hang up after us is left after so long. */
const LINGER_MS = 1_000

/** Alerts that say that the server does not know the name (RFC 6066 section 3). */
const unknownName = /UNRECOGNIZED_NAME/i
/** What our own machine says when it has no way there at all. */
const noRoute = new Set(['ENETUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT'])

/** There is no way to the address from this machine, which says nothing about the server. */
export class NoRouteError extends DialError {
  override name = 'NoRouteError'
}

/**
 * Shakes hands as a browser would (TLS 1.2 or newer, with a server name), looks at the leaf and hangs up. Throws
 * `DialError`, of it `NoRouteError`; ends within `timeoutMs` whatever the server does.
 */
export function peekCertificate(target: PeekTarget, timeoutMs: number): Promise<PeekedCertificate> {
  const { address, port, serverName } = target
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({
      host: address,
      port,
      servername: serverName,
      // Whatever is served is what is to be seen.
      rejectUnauthorized: false,
      ALPNProtocols: ['h2', 'http/1.1'],
      minVersion: 'TLSv1.2',
    })
    const deadline = setTimeout(() => socket.destroy(new DialError('timeout', 'it did not answer in time')), timeoutMs)
    socket.once('secureConnect', () => {
      const leaf = socket.getPeerX509Certificate()
      if (leaf === undefined) {
        socket.destroy(new DialError('protocol', 'it showed no certificate'))
        return
      }
      resolve({ fingerprint: createHash('sha256').update(leaf.raw).digest('hex') })
      // Ended, not cut: in TLS 1.3 the last flight is still ours, and a server counts a handshake without it as failed.
      socket.end()
      setTimeout(() => socket.destroy(), LINGER_MS).unref()
    })
    socket.once('error', (error: NodeJS.ErrnoException) => reject(peekError(error)))
    socket.once('close', () => {
      clearTimeout(deadline)
      reject(new DialError('protocol', 'the connection was closed before the handshake was done'))
    })
  })
}

function peekError(error: NodeJS.ErrnoException): DialError {
  if (error instanceof DialError) return error
  const code = error.code ?? ''
  if (noRoute.has(code)) return new NoRouteError('connect', 'this machine has no way there')
  if (unknownName.test(code) || unknownName.test(error.message))
    return new DialError('protocol', 'the server there does not know the name')
  if (code === 'ECONNREFUSED') return new DialError('connect', 'nothing answers there')
  if (code === 'ECONNRESET') return new DialError('protocol', 'the connection was closed before the handshake was done')
  if (code.startsWith('ERR_SSL') || code === 'EPROTO')
    return new DialError('protocol', 'what answers there gave no TLS handshake')
  return new DialError('connect', `it cannot be reached (${code || error.message})`)
}
