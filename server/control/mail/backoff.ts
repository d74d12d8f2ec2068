const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** As mail servers do among themselves: soon at first, then every few hours (RFC 5321 section 4.5.4.1). */
const RETRY_MS = [MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 3 * HOUR_MS, 6 * HOUR_MS] as const
const GIVE_UP_MS = 72 * HOUR_MS
const JITTER = 0.2

/**
 * The wait in ms before the next try of a mail of this age after `attempts` (from 1) that failed, spread by 20 %;
 * null: it is given up after three days. `random` in [0, 1).
 */
export function retryMail(attempts: number, ageMs: number, random: number): number | null {
  if (ageMs >= GIVE_UP_MS) return null
  const waitMs = RETRY_MS[Math.min(Math.max(attempts, 1), RETRY_MS.length) - 1] ?? HOUR_MS
  return Math.round(waitMs * (1 + (random * 2 - 1) * JITTER))
}
