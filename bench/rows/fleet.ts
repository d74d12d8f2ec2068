import { performance } from 'node:perf_hooks'
import type { Figures } from '../report.ts'
import { simulate } from '../simulation/simulate.ts'
import type { MeasuredRow } from './figure-row.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const outages = [
  { from: 10 * DAY_MS, until: 10 * DAY_MS + 6 * HOUR_MS },
  { from: 25 * DAY_MS, until: 26 * DAY_MS },
  { from: 40 * DAY_MS, until: 43 * DAY_MS },
]
const revocationAt = 60 * DAY_MS
/** Hours that are not judged: those of the revocation, of outages and two days after each. */
const exceptional = [
  ...outages.map(({ from, until }) => [from, until + 2 * DAY_MS] as const),
  [revocationAt, revocationAt + 2 * DAY_MS] as const,
]

/** 90 virtual days of a fleet at the limits of Let's Encrypt: see README.md. */
export const fleetRow: MeasuredRow = {
  name: 'fleet',
  title: '90 virtual days of many certificates of 45 days, with outages, a mass revocation and broken names',
  async measure({ sites }) {
    const started = performance.now()
    const result = simulate({
      size: sites,
      days: 90,
      newPerDay: 500,
      brokenPercent: 5,
      outages,
      revocationAt,
      revokedPercent: 20,
      seed: 1,
    })
    const usual = result.ordersByHour
      .slice(24)
      .filter(
        (_, index) =>
          !exceptional.some(([from, until]) => (index + 24) * HOUR_MS >= from && (index + 24) * HOUR_MS < until),
      )
    const mean = usual.reduce((sum, count) => sum + count, 0) / usual.length
    const figures: Figures[string] = {
      certificates: sites + 45_000,
      expired: result.expired,
      limitsExceeded: result.exceeded,
      refusedByCa: result.refusals,
      issued: result.issued,
      failedAttempts: result.failed,
      windowPolls: result.polls,
      longestQueue: result.longestQueue,
      meanOrdersAnHour: Math.round(mean),
      busiestHour: Math.max(...usual),
      busiestToMean: Math.round((Math.max(...usual) / mean) * 100) / 100,
      revokedReplacedHours: Math.round((result.revokedReplacedMs / HOUR_MS) * 10) / 10,
      seconds: Math.round((performance.now() - started) / 1_000),
      rssMb: Math.round(process.memoryUsage().rss / 1_048_576),
    }
    return { simulation: figures }
  },
}
