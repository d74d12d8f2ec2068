const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
/** Lifetimes below this are renewed at half of them, longer ones at two thirds (Let's Encrypt's integration guide). */
const SHORT_LIFETIME_MS = 10 * DAY_MS
/** Certificates that were issued together do not renew together. */
const RENEW_JITTER = 0.05
const RETRY_JITTER = 0.2
const RETRY_MS = [MINUTE_MS, 10 * MINUTE_MS, 100 * MINUTE_MS, DAY_MS] as const
const SOON_MS = [30_000, MINUTE_MS, 2 * MINUTE_MS, 5 * MINUTE_MS, 10 * MINUTE_MS] as const
const MAX_WAIT_MS = DAY_MS

/** Gives a number from 0 to less than 1: `Math.random`, or a fixed one in tests. */
export type Random = () => number

/**
 * How a failure is tried again: `soon` when the issuer or our own side is at fault, `again` when it
 * is mended by trying (at once, then as `soon`), `hourly` for what an administrator must settle,
 * `backoff` else.
 */
export type RetryKind = 'soon' | 'again' | 'backoff' | 'hourly'

/** When a certificate is renewed: a third of its lifetime (half of a short one) before its end, spread by 5 % of the lifetime. */
export function renewAt(notBefore: Date, notAfter: Date, random: Random): Date {
  const lifetimeMs = notAfter.getTime() - notBefore.getTime()
  const left = lifetimeMs < SHORT_LIFETIME_MS ? 1 / 2 : 1 / 3
  const jitter = (1 - random() * 2) * RENEW_JITTER
  return new Date(notAfter.getTime() - lifetimeMs * (left + jitter))
}

/** The earliest time that `renewAt` gives: before it a certificate is fresh and nothing is ordered. */
export function earliestRenewal(notBefore: Date, notAfter: Date): Date {
  return renewAt(notBefore, notAfter, () => 0)
}

/**
 * The wait before the next attempt after `failures` (from 1): 1, 10, 100 minutes, then daily, or the
 * gentler rows of `soon`; spread by 20 %. What the CA asks for is waited for at least; never more than a day and a spread.
 */
export function retryDelayMs(kind: RetryKind, failures: number, retryAfterMs: number | null, random: Random): number {
  const spread = 1 + (random() * 2 - 1) * RETRY_JITTER
  const asked = Math.min(retryAfterMs ?? 0, MAX_WAIT_MS)
  return Math.max(Math.round(tableMs(kind, failures) * spread), asked)
}

function tableMs(kind: RetryKind, failures: number): number {
  if (kind === 'hourly') return 60 * MINUTE_MS
  const table = kind === 'backoff' ? RETRY_MS : kind === 'again' ? [0, ...SOON_MS] : SOON_MS
  return table[Math.min(Math.max(failures, 1), table.length) - 1] ?? MAX_WAIT_MS
}
