import type { SecureContext } from 'node:tls'
import type { RecordKind } from '../contract/records.ts'
import type { SealKeyPair } from '../contract/sealing.ts'
import { buildChallengeContext, hasChallenge } from './challenge-context.ts'
import { type BuildDeps, buildContext, type ExpiredPolicy } from './context-build.ts'
import { createContextCache } from './context-cache.ts'
import type { EdgeReader } from './edge-store.ts'
import { contextsBudgetBytes, honoursTicketKeys } from './runtime.ts'
import { createTicketSecrets, ticketKeysOf, ticketNameOf } from './ticket-secrets.ts'
import type { TlsProfile } from './tls-profiles.ts'
import { createTurns } from './turns.ts'
import type { ContextUse } from './worker-messages.ts'

/** One takes up to 0.7 ms in Node: together less than 3 ms. */
const BUILDS_PER_TURN = 4
/** So many certificates are remembered as warned of, and so many names of tickets of the epoch before. */
const MAX_REMEMBERED = 10_000

/** What `createContexts` needs. */
export type ContextsDeps = {
  readonly reader: Pick<EdgeReader, 'get'>
  readonly keyPair: SealKeyPair
  /** Told once of each certificate that is there and cannot be used, or has expired, when a context would need it. */
  readonly warn: (fields: { fingerprint: string; reason: string }) => void
  /** What the contexts may take together; default: what the runtime's share is. */
  readonly maxBytes?: number
  readonly now?: () => number
}

/** Whose context is asked for. */
export type ContextRequest = {
  readonly siteId: string
  /** Fingerprints, best first. */
  readonly certificates: readonly string[]
  /** Default: `modern`. */
  readonly profile?: TlsProfile
  /** Of the tickets that the client offers: those of the epoch before get the context that opens them. */
  readonly ticketNames?: readonly string[]
}

/**
 * The TLS contexts of one worker. A context belongs to one site: its tickets open no other one's
 * sessions. Aliases of a site with the same certificates share a context, so that they resume.
 */
export type Contexts = {
  /**
   * The context of a site, or null when none of its certificates can be used. Use it for a `TLSSocket` in the same
   * tick: an evicted context is released, and a new socket on a released one aborts the process. `later`: enough
   * was built in this turn of the event loop; ask again from `wait`.
   */
  of(request: ContextRequest): SecureContext | null | 'later'
  /** The context of the tls-alpn-01 challenge of a name; it is not kept. Null: there is none. `later` as above. */
  ofChallenge(name: string): SecureContext | null | 'later'
  /** Calls `again` in a later turn, in the order of the calls. */
  wait(again: () => void): void
  /** Drops what was built from these records, negative answers included. */
  invalidate(keys: readonly { kind: RecordKind; key: string }[]): void
  readonly size: number
  readonly bytes: number
  /** Of the contexts of sites; challenges are not kept. */
  readonly use: ContextUse
}

/** Makes the bounded cache of contexts, built when a handshake first needs them. */
export function createContexts(deps: ContextsDeps): Contexts {
  const { reader, keyPair, now = Date.now } = deps
  const cache = createContextCache(deps.maxBytes ?? contextsBudgetBytes)
  const use = { hits: 0, misses: 0, builds: 0 }
  const turns = createTurns(BUILDS_PER_TURN)
  const { warn, forget } = warnOnce(deps.warn)
  const secrets = createTicketSecrets({
    reader,
    keyPair,
    warn: (reason) => warn({ fingerprint: 'ticket-key', reason }),
  })
  /** Names of the tickets of the epoch before, by site and use, so that they are derived once. */
  const oldNames = new Map<string, string>()

  const isOfEpochBefore = (id: string, purpose: string, offered: readonly string[]): boolean => {
    const previous = offered.length === 0 ? null : secrets.previous()
    if (previous === null) return false
    const key = `${id} ${purpose}`
    const name = oldNames.get(key) ?? ticketNameOf(ticketKeysOf(previous, id, purpose))
    if (oldNames.size >= MAX_REMEMBERED) oldNames.clear()
    oldNames.set(key, name)
    return offered.includes(name)
  }
  const rotate = (): void => {
    secrets.forget()
    oldNames.clear()
    // Those of the epoch before stay, for its tickets; those before them can open nothing any more.
    const alive = new Set(['', secrets.current().id, secrets.previous()?.id])
    cache.dropWhere(({ secretId }) => !alive.has(secretId))
  }
  return {
    of({ siteId, certificates, profile = 'modern', ticketNames = [] }) {
      const purpose = profile === 'modern' ? '' : profile
      const isOld = honoursTicketKeys && isOfEpochBefore(siteId, purpose, ticketNames)
      const secret = (isOld ? secrets.previous() : null) ?? secrets.current()
      const secretId = honoursTicketKeys ? secret.id : ''
      const key = `${siteId} ${certificates.join()} ${profile} ${secretId}`
      const known = cache.get(key)
      if (known !== undefined && known.staleAtMs > now()) {
        use.hits += 1
        return known.context
      }
      use.misses += 1
      if (!turns.take()) return 'later'
      use.builds += 1
      const built = buildContext(
        { reader, keyPair, warn },
        {
          certificates,
          profile,
          ticketKeys: ticketKeysOf(secret, siteId, purpose),
          nowMs: now(),
          expiredPolicy: expiredPolicy(reader),
        },
      )
      cache.set(key, { ...built, certificates, secretId })
      return built.context
    },
    ofChallenge(name) {
      if (!hasChallenge(reader, name)) return null
      return turns.take() ? buildChallengeContext({ reader, keyPair, warn }, name) : 'later'
    },
    wait: turns.wait,
    invalidate(keys) {
      for (const { kind, key } of keys) {
        if (kind !== 'certificate') continue
        cache.dropCertificate(key)
        forget(key)
      }
      const has = (kind: RecordKind, only?: string): boolean =>
        keys.some((one) => one.kind === kind && (only === undefined || one.key === only))
      if (has('setting', 'expiredCertificate')) cache.dropWhere((entry) => entry.isExpired)
      if (has('ticket-key')) rotate()
    },
    get size() {
      return cache.size
    },
    get bytes() {
      return cache.bytes
    },
    get use() {
      return { ...use, evictions: cache.evictions }
    },
  }
}

/** Passes a warning on once, until its certificate changes. */
function warnOnce(warn: BuildDeps['warn']): { warn: BuildDeps['warn']; forget: (fingerprint: string) => void } {
  const reasons = new Map<string, string>()
  return {
    warn(fields) {
      if (reasons.get(fields.fingerprint) === fields.reason) return
      if (reasons.size >= MAX_REMEMBERED) reasons.clear()
      reasons.set(fields.fingerprint, fields.reason)
      warn(fields)
    },
    forget: (fingerprint) => void reasons.delete(fingerprint),
  }
}

function expiredPolicy(reader: Pick<EdgeReader, 'get'>): ExpiredPolicy {
  return reader.get('setting', 'expiredCertificate')?.value === 'abort' ? 'abort' : 'serve'
}
