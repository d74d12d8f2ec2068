const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
const RETRY_JITTER = 0.2
/** Let's Encrypt's integration guide: after 1, 10 and 100 minutes, then daily. */
const RETRY_MS = [MINUTE_MS, 10 * MINUTE_MS, 100 * MINUTE_MS, DAY_MS] as const
const SOON_MS = [30_000, MINUTE_MS, 2 * MINUTE_MS, 5 * MINUTE_MS, 10 * MINUTE_MS] as const
/** Names whose DNS has left: CAs pause accounts that go on asking for such. */
const DEPARTED_MS = [MINUTE_MS, 100 * MINUTE_MS, DAY_MS, 3 * DAY_MS, 7 * DAY_MS] as const
/** Longest wait that a CA may ask for. */
const MAX_ASKED_MS = DAY_MS
/** What is left of a certificate's life has room for more than so many attempts. */
const TRIES_IN_REST = 4

/** Gives a number from 0 to less than 1: `Math.random`, or a fixed one in tests. */
export type Random = () => number

/**
 * How a failure is tried again: `soon` when the issuer or our own side is at fault, `again` when it
 * is mended by trying (at once, then as `soon`), `hourly` for what an administrator must settle,
 * `departed` for a name that leads elsewhere, `backoff` else.
 */
export type RetryKind = 'soon' | 'again' | 'backoff' | 'hourly' | 'departed'

/** What the wait depends on. */
export type RetryFacts = {
  readonly kind: RetryKind
  /** Failures in a row, this one included: from 1. */
  readonly failures: number
  /** What the CA asked to wait, or null. */
  readonly retryAfterMs: number | null
  /** What is left of the certificate that is served; null when there is none, or it has expired. */
  readonly remainingMs: number | null
}

/**
 * The wait before the next attempt, spread by 20 %. While a certificate is served, at least four more
 * attempts fit into the rest of its life, whatever its lifetime is. What the CA asks for is waited for
 * at least; never more than a day of it.
 */
export function retryDelayMs({ kind, failures, retryAfterMs, remainingMs }: RetryFacts, random: Random): number {
  const spread = 1 + (random() * 2 - 1) * RETRY_JITTER
  const asked = Math.min(retryAfterMs ?? 0, MAX_ASKED_MS)
  const rest = remainingMs === null || remainingMs <= 0 ? Number.POSITIVE_INFINITY : remainingMs / TRIES_IN_REST
  return Math.max(Math.round(Math.min(tableMs(kind, failures), rest) * spread), asked)
}

function tableMs(kind: RetryKind, failures: number): number {
  const table = tables[kind]
  return table[Math.min(Math.max(failures, 1), table.length) - 1] ?? DAY_MS
}

const tables: Readonly<Record<RetryKind, readonly number[]>> = {
  soon: SOON_MS,
  again: [0, ...SOON_MS],
  backoff: RETRY_MS,
  hourly: [60 * MINUTE_MS],
  departed: DEPARTED_MS,
}
