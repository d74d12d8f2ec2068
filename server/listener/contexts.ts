import { createPrivateKey, randomBytes } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { RecordKind } from '../contract/records.ts'
import { deriveKey, type SealKeyPair, unsealFrom } from '../contract/sealing.ts'
import type { EdgeReader } from './edge-store.ts'

/** 5,000 contexts are 50 MB in Bun and 150 MB in Node, chain included. */
const CAPACITY = 5_000
/** What Node takes as `ticketKeys`: name, HMAC and AES key of 16 bytes each. */
const TICKET_KEY_BYTES = 48

/** The same for all sites. Short lists: each name that is left out saves memory in every context. */
const tlsOptions = {
  minVersion: 'TLSv1.2',
  honorCipherOrder: true,
  ecdhCurve: 'X25519MLKEM768:X25519:P-256',
  ciphers: [
    'TLS_AES_128_GCM_SHA256',
    'TLS_CHACHA20_POLY1305_SHA256',
    'TLS_AES_256_GCM_SHA384',
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES128-GCM-SHA256',
  ].join(':'),
} as const

/** What `createContexts` needs. */
export type ContextsDeps = {
  readonly reader: Pick<EdgeReader, 'get'>
  readonly keyPair: SealKeyPair
  /** Told of each certificate that is there and cannot be used, when a context would need it. */
  readonly warn: (fields: { fingerprint: string; reason: string }) => void
  readonly capacity?: number
}

/**
 * The TLS contexts of one worker. A context belongs to one site: its tickets open no other one's
 * sessions. Aliases of a site with the same certificates share a context, so that they resume.
 */
export type Contexts = {
  /**
   * The context of a site with these certificates (best first), or null when none of them can be
   * used. Use it for a `TLSSocket` in the same tick: an evicted context is closed, and a new socket
   * on a closed one aborts the process.
   */
  of(siteId: string, certificates: readonly string[]): SecureContext | null
  /** Drops what was built from these records, negative answers included. */
  invalidate(keys: readonly { kind: RecordKind; key: string }[]): void
  readonly size: number
}

/** Null: none of the certificates can be used, until one of them changes. */
type Entry = { readonly certificates: readonly string[]; readonly context: SecureContext | null }
type Pair = {
  readonly fingerprint: string
  readonly chainPem: string
  readonly keyPem: string
  /** `''` where there is but one pair and nothing to choose. */
  readonly keyType: string
}

/** Makes the bounded cache of contexts, built when a handshake first needs them. */
export function createContexts(deps: ContextsDeps): Contexts {
  const capacity = deps.capacity ?? CAPACITY
  const entries = new Map<string, Entry>()
  const ownSecret = randomBytes(32)
  let ticketSecret: Buffer | null = null

  const build = (siteId: string, certificates: readonly string[]): Entry => {
    ticketSecret ??= openTicketSecret(deps) ?? ownSecret
    const ticketKeys = deriveKey(ticketSecret, `site:${siteId}`, TICKET_KEY_BYTES)
    return { certificates, context: contextOf(deps, openPairs(deps, certificates), ticketKeys) }
  }
  const drop = (key: string, entry: Entry): void => {
    entries.delete(key)
    if (entry.context !== null) close(entry.context)
  }
  return {
    of(siteId, certificates) {
      const key = `${siteId} ${certificates.join()}`
      const known = entries.get(key)
      const entry = known ?? build(siteId, certificates)
      if (known !== undefined) entries.delete(key)
      entries.set(key, entry)
      const oldest = entries.size > capacity ? entries.entries().next().value : undefined
      if (oldest !== undefined) drop(...oldest)
      return entry.context
    },
    invalidate(keys) {
      const isRotated = keys.some((key) => key.kind === 'ticket-key')
      const changed = new Set(keys.filter((key) => key.kind === 'certificate').map((key) => key.key))
      if (isRotated) ticketSecret = null
      if (!isRotated && changed.size === 0) return
      for (const [key, entry] of entries) {
        if (isRotated || entry.certificates.some((fingerprint) => changed.has(fingerprint))) drop(key, entry)
      }
    },
    get size() {
      return entries.size
    },
  }
}

/** The pairs whose key opens, in the order given. */
function openPairs(deps: ContextsDeps, certificates: readonly string[]): Pair[] {
  return certificates.flatMap((fingerprint) => {
    const record = deps.reader.get('certificate', fingerprint)
    if (record === null) return []
    try {
      const keyPem = unsealFrom(deps.keyPair, Buffer.from(record.sealedKey, 'base64'), fingerprint).toString()
      const keyType = certificates.length === 1 ? '' : String(createPrivateKey(keyPem).asymmetricKeyType)
      return [{ fingerprint, chainPem: record.chainPem, keyPem, keyType }]
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
function contextOf(deps: ContextsDeps, pairs: readonly Pair[], ticketKeys: Buffer): SecureContext | null {
  const chosen = pairs.filter((pair, at) => pairs.findIndex((other) => other.keyType === pair.keyType) === at)
  if (chosen.length === 0) return null
  try {
    return createSecureContext({
      ...tlsOptions,
      cert: chosen.map((pair) => pair.chainPem),
      key: chosen.map((pair) => pair.keyPem),
      ticketKeys,
    })
  } catch (error) {
    if (pairs.length > 1) {
      const usable = pairs.filter((pair) => contextOf(deps, [pair], ticketKeys) !== null)
      return usable.length < pairs.length ? contextOf(deps, usable, ticketKeys) : null
    }
    deps.warn({ fingerprint: String(pairs[0]?.fingerprint), reason: (error as Error).message })
    return null
  }
}

/** The secret of the present epoch; without one, sessions resume within this worker alone. */
function openTicketSecret(deps: ContextsDeps): Buffer | null {
  const record = deps.reader.get('ticket-key', 'current')
  if (record === null) return null
  try {
    return unsealFrom(deps.keyPair, Buffer.from(record.sealedSecret, 'base64'), 'ticket-key')
  } catch (error) {
    deps.warn({ fingerprint: 'ticket-key', reason: (error as Error).message })
    return null
  }
}

/**
 * Frees the native part at once where the runtime has a way to (Node: V8 does not see its 29 KiB and
 * would keep thousands). Open connections keep what they need.
 */
function close(context: SecureContext): void {
  ;(context.context as { close?: () => void }).close?.()
}
