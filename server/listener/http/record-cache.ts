import type { Payloads, RecordKind } from '../../contract/records.ts'
import type { EdgeReader } from '../edge-store.ts'
import { RECORD_CACHE_BYTES } from './limits.ts'
import { createLru } from './lru.ts'

/** Records by key as `EdgeReader` gives them, hits and misses remembered until they are dropped. */
export type RecordCache = {
  /** Grows with each `drop`: what was made of records holds as long as it is the same. */
  readonly epoch: number
  get<K extends RecordKind>(kind: K, key: string): Payloads[K] | null
  drop(keys: readonly { kind: RecordKind; key: string }[]): void
}

/** What an entry costs beside its payload, a miss as well. */
const ENTRY_BYTES = 512

/** What a record (null: a miss) weighs in memory: bytes, about. */
export function recordWeight(payload: unknown): number {
  return ENTRY_BYTES + JSON.stringify(payload).length
}

/**
 * Makes one of at most `maxBytes`, counted by the length of the records as JSON: options make a site's record as
 * large as its tenant likes. Challenges are always read: they live for seconds, and anybody can ask for unknown tokens.
 */
export function createRecordCache(reader: Pick<EdgeReader, 'get'>, maxBytes = RECORD_CACHE_BYTES): RecordCache {
  const cached = createLru<{ payload: unknown }>(maxBytes)
  let epoch = 1
  return {
    get epoch() {
      return epoch
    },
    get<K extends RecordKind>(kind: K, key: string): Payloads[K] | null {
      if (kind === 'challenge') return reader.get(kind, key)
      const id = `${kind} ${key}`
      const entry = cached.get(id)
      if (entry !== undefined) return entry.payload as Payloads[K] | null
      const payload = reader.get(kind, key)
      cached.set(id, { payload }, recordWeight(payload))
      return payload
    },
    drop(keys) {
      epoch += 1
      for (const { kind, key } of keys) cached.delete(`${kind} ${key}`)
    },
  }
}
