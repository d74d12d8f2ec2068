import { createPrivateKey } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import { type SealKeyPair, unsealFrom } from '../contract/sealing.ts'
import type { EdgeReader } from './edge-store.ts'
import { contextBytes } from './runtime.ts'
import { type TlsProfile, tlsOptionsOf } from './tls-profiles.ts'

/** What is done with a site that has none but expired certificates (setting `expiredCertificate`). */
export type ExpiredPolicy = 'serve' | 'abort'

/** What building needs. */
export type BuildDeps = {
  readonly reader: Pick<EdgeReader, 'get'>
  readonly keyPair: SealKeyPair
  /** Told of each certificate that is there and is not what it should be. */
  readonly warn: (fields: { fingerprint: string; reason: string }) => void
}

/** What to build. */
export type BuildRequest = {
  /** Fingerprints, best first. */
  readonly certificates: readonly string[]
  readonly profile: TlsProfile
  readonly ticketKeys: Buffer
  readonly nowMs: number
  readonly expiredPolicy: ExpiredPolicy
}

/** What was built. */
export type Built = {
  /** Null: none of the certificates can be used. */
  readonly context: SecureContext | null
  /** What it takes, about. */
  readonly bytes: number
  /** When a certificate in it expires, so that it is to be built anew; milliseconds since 1970. */
  readonly staleAtMs: number
  /** Whether the policy for expired certificates has decided. */
  readonly isExpired: boolean
}

type Pair = {
  readonly fingerprint: string
  readonly chainPem: string
  readonly keyPem: string
  /** `''` where there is but one pair and nothing to choose. */
  readonly keyType: string
  readonly notAfterMs: number
}

/** Of an answer that there is no context. */
const NOTHING_BYTES = 512

/**
 * Builds the context of a site: one certificate for each type of key, the first of those that have not expired.
 * Only where none such can be used the policy decides about the expired ones. Takes 0.1-0.7 ms.
 */
export function buildContext(deps: BuildDeps, request: BuildRequest): Built {
  const pairs = openPairs(deps, request.certificates)
  const fresh = pairs.filter(({ notAfterMs }) => notAfterMs > request.nowMs)
  const built = contextOf(deps, fresh, request)
  if (built !== null) return built
  const expired = pairs.filter((pair) => !fresh.includes(pair))
  for (const { fingerprint } of expired) {
    const consequence = request.expiredPolicy === 'serve' ? 'served all the same' : 'not served'
    deps.warn({ fingerprint, reason: `it has expired, and the site has no better one: ${consequence}` })
  }
  const isExpired = expired.length > 0
  const old = isExpired && request.expiredPolicy === 'serve' ? contextOf(deps, expired, request) : null
  return {
    context: old?.context ?? null,
    bytes: old?.bytes ?? NOTHING_BYTES,
    staleAtMs: Number.POSITIVE_INFINITY,
    isExpired,
  }
}

/** The pairs whose key opens, in the order given. */
function openPairs(deps: BuildDeps, certificates: readonly string[]): Pair[] {
  return certificates.flatMap((fingerprint) => {
    const record = deps.reader.get('certificate', fingerprint)
    if (record === null) return []
    try {
      const keyPem = unsealFrom(deps.keyPair, Buffer.from(record.sealedKey, 'base64'), fingerprint).toString()
      const keyType = certificates.length === 1 ? '' : String(createPrivateKey(keyPem).asymmetricKeyType)
      const notAfterMs = Date.parse(record.notAfter)
      const isDated = !Number.isNaN(notAfterMs)
      const { chainPem } = record
      return [{ fingerprint, chainPem, keyPem, keyType, notAfterMs: isDated ? notAfterMs : Number.POSITIVE_INFINITY }]
    } catch (error) {
      deps.warn({ fingerprint, reason: (error as Error).message })
      return []
    }
  })
}

/**
 * One context with the first pair of each type of key: the TLS library chooses by what the client can
 * verify. Where it refuses them, one with those that it takes. Null when it takes none.
 */
function contextOf(deps: BuildDeps, pairs: readonly Pair[], request: BuildRequest): Built | null {
  const chosen = pairs.filter((pair, at) => pairs.findIndex((other) => other.keyType === pair.keyType) === at)
  if (chosen.length === 0) return null
  try {
    const context = createSecureContext({
      ...tlsOptionsOf(request.profile),
      cert: chosen.map((pair) => pair.chainPem),
      key: chosen.map((pair) => pair.keyPem),
      ticketKeys: request.ticketKeys,
    })
    const staleAtMs = Math.min(...chosen.map((pair) => pair.notAfterMs))
    return { context, bytes: bytesOf(chosen), staleAtMs, isExpired: false }
  } catch (error) {
    if (pairs.length > 1) {
      const usable = pairs.filter((pair) => contextOf(deps, [pair], request) !== null)
      return usable.length < pairs.length ? contextOf(deps, usable, request) : null
    }
    deps.warn({ fingerprint: String(pairs[0]?.fingerprint), reason: (error as Error).message })
    return null
  }
}

function bytesOf(pairs: readonly Pair[]): number {
  const { first, second, chained } = contextBytes
  const certificates = pairs.reduce((sum, { chainPem }) => sum + chainPem.split('-----BEGIN').length - 1, 0)
  return first + (pairs.length - 1) * second + Math.max(0, certificates - pairs.length) * chained
}
