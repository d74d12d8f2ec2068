import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { connect, type SecureContext, TLSSocket } from 'node:tls'
import type { Payloads, RecordKind } from '../contract/records.ts'
import { generateSealKeyPair, sealTo } from '../contract/sealing.ts'
import { createContexts } from './contexts.ts'

/** For all six handshakes together; they take some 50 ms. */
const TIME_LIMIT_MS = 10_000
const FINGERPRINT = '0'.repeat(64)
const versions = ['TLSv1.2', 'TLSv1.3'] as const
/** Two tenants that share nothing but a certificate, the worst case: nothing else could tell them apart. */
const sites = { own: 'own', foreign: 'foreign' } as const

/** Any certificate with its key: nobody has to trust it. */
export type ProofCertificate = { readonly chainPem: string; readonly keyPem: string }

/** Gives the context of one of the two sites that the proof is about. */
export type ContextOf = (site: 'own' | 'foreign') => SecureContext

/**
 * Proves with real handshakes in this very process that a session of one site is resumed there and not at another,
 * in TLS 1.2 and 1.3 (E52). Throws with the reason when it cannot be shown: then the worker must not serve.
 * `contextOf` says which context a site gets: `contextsOfTwoSites` in a worker.
 */
export async function proveIsolation(contextOf: ContextOf): Promise<void> {
  let site: keyof typeof sites = 'own'
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => socket.destroy())
    socket.once('data', (hello: Buffer) => {
      socket.pause()
      socket.unshift(hello)
      const secure = new TLSSocket(socket, { isServer: true, secureContext: contextOf(site) })
      secure.on('error', () => secure.destroy())
      // Tickets of TLS 1.3 leave with the first answer.
      secure.once('secure', () => secure.end('.'))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const timer = setTimeout(() => {
    for (const socket of open) socket.destroy(new Error('no answer in time'))
  }, TIME_LIMIT_MS)
  try {
    for (const version of versions) {
      const visit = (at: keyof typeof sites, session?: Buffer) => {
        site = at
        return handshake(port, version, session)
      }
      const { session } = await visit('own')
      const foreign = await visit('foreign', session)
      if (foreign.isReused) throw new Error(`${version}: a session of one site is resumed at another`)
      const own = await visit('own', session)
      if (!own.isReused) throw new Error(`${version}: that sessions stay within their site cannot be shown`)
    }
  } finally {
    clearTimeout(timer)
    server.close()
    for (const socket of open) socket.destroy()
  }
}

function handshake(
  port: number,
  version: (typeof versions)[number],
  session?: Buffer,
): Promise<{ isReused: boolean; session: Buffer }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ isReused: boolean; session: Buffer }>()
  let latest: Buffer = Buffer.alloc(0)
  let isReused: boolean | null = null
  const client = connect({
    host: '127.0.0.1',
    port,
    servername: 'proof.invalid',
    minVersion: version,
    maxVersion: version,
    // Self-signed a moment ago, by this process.
    rejectUnauthorized: false,
    ...(session === undefined ? {} : { session }),
  })
  client.on('session', (fresh: Buffer) => {
    latest = fresh
  })
  client.on('secureConnect', () => {
    isReused = client.isSessionReused()
  })
  client.on('data', () => undefined)
  client.on('error', reject)
  client.on('close', () => {
    if (isReused === null) reject(new Error(`${version}: the proof of isolation had no handshake`))
    else resolve({ isReused, session: latest })
  })
  return promise
}

/** Contexts of two sites with this one certificate, made as those of real sites are. */
export function contextsOfTwoSites({ chainPem, keyPem }: ProofCertificate): ContextOf {
  const keyPair = generateSealKeyPair()
  const seal = (plain: Uint8Array, context: string): string =>
    sealTo(keyPair.publicKey, plain, context).toString('base64')
  const certificate: Payloads['certificate'] = {
    chainPem,
    sealedKey: seal(Buffer.from(keyPem), FINGERPRINT),
    names: [],
    notAfter: '9999-12-31T23:59:59Z',
  }
  const ticketKey: Payloads['ticket-key'] = { epoch: 1, sealedSecret: seal(randomBytes(32), 'ticket-key') }
  const records: { readonly [key: string]: unknown } = {
    [`certificate ${FINGERPRINT}`]: certificate,
    'ticket-key current': ticketKey,
  }
  const reader = {
    get: <K extends RecordKind>(kind: K, key: string) => (records[`${kind} ${key}`] ?? null) as Payloads[K] | null,
  }
  const reasons: string[] = []
  const contexts = createContexts({ reader, keyPair, warn: ({ reason }) => void reasons.push(reason) })
  return (site) => {
    const context = contexts.of({ siteId: site, certificates: [FINGERPRINT] })
    if (context === null || context === 'later') throw new Error(reasons[0] ?? 'the proof of isolation has no context')
    return context
  }
}
