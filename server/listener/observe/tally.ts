import {
  addCounts,
  HOUR_MS,
  OTHER_SITE,
  type TrafficField,
  type TrafficRow,
  trafficFields,
} from '../../contract/traffic.ts'
import type { RequestEntry } from '../http/request-log.ts'

/** Sites that one worker counts one by one between two reports; the rest is counted together. */
const MAX_SITES = 5_000

const place = Object.fromEntries(trafficFields.map((field, at) => [field, at])) as Record<TrafficField, number>
const versions: Readonly<Record<string, number>> = {
  TLSv1: place.tls10,
  'TLSv1.1': place.tls11,
  'TLSv1.2': place.tls12,
  'TLSv1.3': place.tls13,
}
const protocols: Readonly<Record<RequestEntry['protocol'], number>> = {
  'HTTP/1.0': place.http10,
  'HTTP/1.1': place.http11,
  'HTTP/2.0': place.http2,
}

/** Counts requests by site and hour, bounded in sites. */
export type Tally = {
  add(entry: RequestEntry, nowMs: number): void
  /** What was counted since the last call. */
  take(): TrafficRow[]
  readonly isEmpty: boolean
}

/** Makes an empty tally. */
export function createTally(maxSites = MAX_SITES): Tally {
  let hour = 0
  let sites = new Map<string, number[]>()
  let past: TrafficRow[] = []

  const countsOf = (siteId: string): number[] => {
    const key = sites.size >= maxSites && !sites.has(siteId) ? OTHER_SITE : siteId
    const known = sites.get(key)
    if (known !== undefined) return known
    const fresh = new Array<number>(trafficFields.length).fill(0)
    sites.set(key, fresh)
    return fresh
  }
  const close = (): void => {
    for (const [siteId, counts] of sites) past.push({ siteId, hour, counts })
    sites = new Map()
  }
  return {
    add(entry, nowMs) {
      const now = Math.floor(nowMs / HOUR_MS)
      if (now !== hour) {
        close()
        hour = now
      }
      count(countsOf(entry.siteId ?? entry.connection.siteId ?? OTHER_SITE), entry)
    },
    take() {
      close()
      const rows = past
      past = []
      return rows
    },
    get isEmpty() {
      return sites.size === 0 && past.length === 0
    },
  }
}

function count(counts: number[], entry: RequestEntry): void {
  const add = (at: number | undefined, by = 1): void => {
    if (at !== undefined) counts[at] = (counts[at] ?? 0) + by
  }
  const { connection, status } = entry
  const tls = connection.tls()
  add(place.requests)
  add(place.bytesOut, entry.bytes)
  add(place.bytesIn, entry.bytesIn)
  add(status >= 100 && status < 600 ? place.status1xx + Math.floor(status / 100) - 1 : place.aborted)
  if (entry.reason !== undefined) add(place.refused)
  if (status === 421) add(place.misdirected)
  add(tls === null ? place.plain : versions[tls.version])
  if (tls?.isResumed === true) add(place.resumed)
  if (connection.isSecure && connection.serverName === null) add(place.withoutServerName)
  add(protocols[entry.protocol])
}

/** Adds rows of several workers up: one for each site and hour. */
export function mergedRows(rows: readonly TrafficRow[]): TrafficRow[] {
  const merged = new Map<string, TrafficRow & { counts: number[] }>()
  for (const { siteId, hour, counts } of rows) {
    const key = `${siteId} ${hour}`
    const known = merged.get(key)
    if (known === undefined) merged.set(key, { siteId, hour, counts: [...counts] })
    else addCounts(known.counts, counts)
  }
  return [...merged.values()]
}
