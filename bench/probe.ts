import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'node:tls'

/** Handshakes in a row that must show the new certificate: one of two workers is missed once in 2^7 times. */
export const IN_A_ROW = 8
const PAUSE_MS = 2
const LIMIT_MS = 20_000
const CONNECT_LIMIT_MS = 5_000

/**
 * Makes handshakes with a name, one after the other on new connections, until eight in a row show a certificate.
 * Resolves with the moment (`performance.now()`) at which the first of those eight had it: from then on no worker
 * was seen with another. Throws after 20 s.
 */
export async function untilServed(port: number, serverName: string, fingerprint: string): Promise<number> {
  const limit = performance.now() + LIMIT_MS
  let since = 0
  for (let seen = 0; seen < IN_A_ROW; ) {
    const shown = await shownFingerprint(port, serverName)
    const now = performance.now()
    if (shown !== fingerprint) {
      if (now > limit) throw new Error(`${serverName} does not show its new certificate within ${LIMIT_MS / 1_000} s`)
      seen = 0
      await sleep(PAUSE_MS)
      continue
    }
    if (seen === 0) since = now
    seen += 1
  }
  return since
}

/** SHA-256 of the certificate that a name is answered with, hex. */
export function shownFingerprint(port: number, serverName: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  // The names of the bench are signed by no one's CA; which certificate is shown is all that matters here.
  const socket = connect({ host: '127.0.0.1', port, servername: serverName, rejectUnauthorized: false })
  socket.setTimeout(CONNECT_LIMIT_MS, () => socket.destroy(new Error(`${serverName}: no handshake within 5 s`)))
  socket.on('error', reject)
  socket.once('secureConnect', () => {
    const fingerprint = socket.getPeerX509Certificate()?.fingerprint256 ?? ''
    socket.destroy()
    resolve(fingerprint.replaceAll(':', '').toLowerCase())
  })
  return promise
}
