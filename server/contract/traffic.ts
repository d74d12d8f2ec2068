/**
 * What an edge counts of each site and hour, in this order. `requests` is every request that is over, however;
 * each of them is in one class of status, one version of TLS (or `plain`) and one of HTTP.
 */
export const trafficFields = [
  'requests',
  'bytesOut',
  'status1xx',
  'status2xx',
  'status3xx',
  'status4xx',
  'status5xx',
  'aborted',
  'refused',
  'misdirected',
  'plain',
  'tls10',
  'tls11',
  'tls12',
  'tls13',
  'resumed',
  'withoutServerName',
  'http10',
  'http11',
  'http2',
  'bytesIn',
] as const

/** One of `trafficFields`. */
export type TrafficField = (typeof trafficFields)[number]

/** What was counted of one site in one hour since the report before. */
export type TrafficRow = {
  readonly siteId: string
  /** Hours since 1970, UTC. */
  readonly hour: number
  /**
   * In the order of `trafficFields`. Fields are only ever added at the end, at most 64 in all: a row of an older
   * version has fewer, which are zero, and one of a newer version has more, which are passed on.
   */
  readonly counts: readonly number[]
}

/** Stands for requests of no site, and for sites beyond the number that is counted one by one. */
export const OTHER_SITE = '00000000-0000-0000-0000-000000000000'

/** Counts that a row of another version may have. */
const MAX_COUNTS = 64

/** Milliseconds of an hour, the step of `TrafficRow.hour`. */
export const HOUR_MS = 3_600_000

/** Adds the counts of a row to others in place, however many either has. */
export function addCounts(sum: number[], counts: readonly number[]): void {
  counts.forEach((count, at) => {
    sum[at] = (sum[at] ?? 0) + count
  })
}

/** Whether a value that came from elsewhere is a row: 1 to 64 safe whole numbers, none below zero. */
export function isTrafficRow(value: unknown): value is TrafficRow {
  const row = value as TrafficRow | null
  if (typeof row !== 'object' || row === null) return false
  const isCounted = Array.isArray(row.counts) && row.counts.length >= 1 && row.counts.length <= MAX_COUNTS
  return (
    typeof row.siteId === 'string' &&
    row.siteId.length <= 64 &&
    isCount(row.hour) &&
    isCounted &&
    row.counts.every(isCount)
  )
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
