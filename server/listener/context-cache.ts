import type { SecureContext } from 'node:tls'
import type { Built } from './context-build.ts'

/** A context that is kept, with what decides when it is dropped. */
export type CachedContext = Built & {
  readonly certificates: readonly string[]
  /** `TicketSecret.id`; `''` where the runtime has keys of its own. */
  readonly secretId: string
}

/** Contexts by key, bounded in bytes; the one that was not asked for longest goes first. */
export type ContextCache = {
  get(key: string): CachedContext | undefined
  set(key: string, entry: CachedContext): void
  /** Drops what was built from this certificate, or from its absence. */
  dropCertificate(fingerprint: string): void
  dropWhere(isStale: (entry: CachedContext) => boolean): void
  readonly size: number
  readonly bytes: number
  /** Those that made room since the start. */
  readonly evictions: number
}

/**
 * Makes one. What leaves it is released at once where the runtime has a way to; so use what `get` gives in the same
 * tick. The last one set always stays, whatever it weighs.
 */
export function createContextCache(maxBytes: number): ContextCache {
  const entries = new Map<string, CachedContext>()
  const keysByCertificate = new Map<string, Set<string>>()
  let bytes = 0
  let evictions = 0

  const drop = (key: string, entry: CachedContext): void => {
    entries.delete(key)
    bytes -= entry.bytes
    for (const fingerprint of entry.certificates) {
      const keys = keysByCertificate.get(fingerprint)
      keys?.delete(key)
      if (keys?.size === 0) keysByCertificate.delete(fingerprint)
    }
    release(entry.context)
  }
  return {
    get(key) {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      entries.delete(key)
      entries.set(key, entry)
      return entry
    },
    set(key, entry) {
      const before = entries.get(key)
      if (before !== undefined) drop(key, before)
      entries.set(key, entry)
      bytes += entry.bytes
      for (const fingerprint of entry.certificates) {
        const keys = keysByCertificate.get(fingerprint) ?? new Set()
        keysByCertificate.set(fingerprint, keys.add(key))
      }
      for (const [oldest, old] of entries) {
        if (bytes <= maxBytes || oldest === key) break
        drop(oldest, old)
        evictions += 1
      }
    },
    dropCertificate(fingerprint) {
      for (const key of [...(keysByCertificate.get(fingerprint) ?? [])]) {
        const entry = entries.get(key)
        if (entry !== undefined) drop(key, entry)
      }
    },
    dropWhere(isStale) {
      for (const [key, entry] of entries) if (isStale(entry)) drop(key, entry)
    },
    get size() {
      return entries.size
    },
    get bytes() {
      return bytes
    },
    get evictions() {
      return evictions
    },
  }
}

/**
 * Frees the native part at once where the runtime has a way to (Node: V8 does not see its 29 KiB and
 * would keep thousands). Open connections keep what they need; a new socket on it aborts the process.
 */
function release(context: SecureContext | null): void {
  ;(context?.context as { close?: () => void } | undefined)?.close?.()
}
