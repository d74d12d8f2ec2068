import { createHistogram } from '../../process/metrics-histogram.ts'
import type { MetricFamily } from '../../process/metrics-text.ts'
import type { ObserveCall } from './ca-call.ts'

/** What was measured of a CA counts for so long. */
const FRESH_MS = 3_600_000
const BOUNDS_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20]

/** Measures the calls to CAs of this process. */
export type CaObserver = {
  /** The hook for one issuer's transport. `issuer` is its name. */
  forIssuer(issuer: string): ObserveCall
  families(): MetricFamily[]
  /** How far our clock is from the CAs' in ms (positive: ours is ahead): the least of those heard in the last hour; null: none. */
  clockSkew(): number | null
}

/** Makes an observer. */
export function createCaObserver(now: () => number = Date.now): CaObserver {
  const seconds = createHistogram(
    'nameplate_ca_request_seconds',
    'Duration of requests to CAs, by issuer, call and outcome.',
    BOUNDS_SECONDS,
  )
  const skews = new Map<string, { readonly atMs: number; readonly skewMs: number }>()
  return {
    forIssuer: (issuer) => (call, ms, outcome, serverDate) => {
      seconds.observe({ issuer, call, outcome }, ms / 1_000)
      // Date has whole seconds, and the answer took some time to come.
      if (serverDate !== null) skews.set(issuer, { atMs: now(), skewMs: now() - ms / 2 - serverDate.getTime() - 500 })
    },
    families: () => [seconds.family()],
    clockSkew() {
      const fresh = [...skews.values()].filter(({ atMs }) => Math.abs(now() - atMs) < FRESH_MS)
      // One CA with a wrong clock is no reason to doubt ours.
      const [least] = fresh.map(({ skewMs }) => skewMs).sort((a, b) => Math.abs(a) - Math.abs(b))
      return least ?? null
    },
  }
}
