import { type ListenerLimits, listenerLimits } from '../contract/listener-limits.ts'
import type { AddressRecord, NameRecord, Payloads, RecordKind } from '../contract/records.ts'
import { siteOptions } from '../contract/site-options.ts'
import type { EdgeReader } from './edge-store.ts'
import { createNameFilter } from './name-filter.ts'
import { createRecent } from './recent.ts'

/** Key of the record with the limits. */
const LIMITS = 'listenerLimits'
/** Names, addresses and sites that handshakes asked for and that are there: some 300 bytes each. */
const HITS = 20_000
/** Those that are not there. Apart from the others: a flood of made-up names must not push out those that are served. */
const MISSES = 20_000
/** Keys that are longer are not remembered: they are no names. */
const MAX_KEY_CHARS = 300

/** What admission needs of a site's record: the rest may be large and is not kept here. */
export type SiteAdmission = { readonly tenantId: string; readonly maxConnections: number | null }

/** What the door asks of the edge store, remembered until it changes. */
export type DoorRecords = Pick<EdgeReader, 'get'> & {
  /** Whose a site is, and how many connections its owner allows it; null when it has no record. */
  site(siteId: string): SiteAdmission | null
  /** The limits that are set, or the defaults. The same object until they change. */
  limits(): ListenerLimits
  /** Forgets these records, and that they were not there. */
  drop(keys: readonly { kind: RecordKind; key: string }[]): void
}

/** Makes it. Certificates, challenges and ticket keys are read each time: contexts keep what comes of them. */
export function createDoorRecords(reader: Pick<EdgeReader, 'get' | 'namesAfter'>): DoorRecords {
  const filter = createNameFilter(reader)
  const names = memory<NameRecord>((key) => reader.get('name', key))
  const addresses = memory<AddressRecord>((key) => reader.get('address', key))
  const sites = createRecent<SiteAdmission>(HITS)
  let limits: ListenerLimits | null = null
  return {
    get<K extends RecordKind>(kind: K, key: string): Payloads[K] | null {
      if (kind === 'name') return (filter.mayHave(key) ? names.get(key) : null) as Payloads[K] | null
      if (kind === 'address') return addresses.get(key) as Payloads[K] | null
      return reader.get(kind, key)
    },
    site(siteId) {
      const known = sites.get(siteId)
      if (known !== undefined) return known
      const record = reader.get('site', siteId)
      if (record === null) return null
      const site = { tenantId: record.tenantId, maxConnections: siteOptions(record.options).maxConnections }
      sites.set(siteId, site)
      return site
    },
    limits() {
      limits ??= listenerLimits(reader.get('setting', LIMITS)?.value)
      return limits
    },
    drop(keys) {
      for (const { kind, key } of keys) {
        if (kind === 'name') {
          filter.note(key)
          names.drop(key)
        } else if (kind === 'address') addresses.drop(key)
        else if (kind === 'site') sites.take(key)
        else if (kind === 'setting' && key === LIMITS) limits = null
      }
    },
  }
}

/** What `read` has answered for a key, until it is dropped. */
function memory<V>(read: (key: string) => V | null): { get(key: string): V | null; drop(key: string): void } {
  const hits = createRecent<V>(HITS)
  const misses = createRecent<true>(MISSES)
  return {
    get(key) {
      if (key.length > MAX_KEY_CHARS) return read(key)
      const hit = hits.get(key)
      if (hit !== undefined) return hit
      if (misses.get(key) === true) return null
      const value = read(key)
      if (value === null) misses.set(key, true)
      else hits.set(key, value)
      return value
    },
    drop(key) {
      hits.take(key)
      misses.take(key)
    },
  }
}
