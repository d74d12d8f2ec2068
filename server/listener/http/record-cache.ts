import type { Payloads, RecordKind } from '../../contract/records.ts'
import type { EdgeReader } from '../edge-store.ts'
import { RECORD_CACHE_ENTRIES } from './limits.ts'
import { createLru } from './lru.ts'

/** Records by key as `EdgeReader` gives them, hits and misses remembered until they are dropped. */
export type RecordCache = {
  get<K extends RecordKind>(kind: K, key: string): Payloads[K] | null
  drop(keys: readonly { kind: RecordKind; key: string }[]): void
}

/** Challenges are always read: they live for seconds, and anybody can ask for unknown tokens. */
export function createRecordCache(reader: EdgeReader): RecordCache {
  const cached = createLru<{ payload: unknown }>(RECORD_CACHE_ENTRIES)
  return {
    get<K extends RecordKind>(kind: K, key: string): Payloads[K] | null {
      if (kind === 'challenge') return reader.get(kind, key)
      const id = `${kind} ${key}`
      const entry = cached.get(id)
      if (entry !== undefined) return entry.payload as Payloads[K] | null
      const payload = reader.get(kind, key)
      cached.set(id, { payload }, 1)
      return payload
    },
    drop(keys) {
      for (const { kind, key } of keys) cached.delete(`${kind} ${key}`)
    },
  }
}
