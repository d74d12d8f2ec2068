/** How often ownership is looked at, and when it ends: pure rules of times. */

const SECOND_MS = 1_000
const HOUR_MS = 3_600 * SECOND_MS
const DAY_MS = 24 * HOUR_MS

const FIRST_WAIT_MS = 2 * SECOND_MS
/** A claim that nobody has proven for so long is looked at once a day. */
const EAGER_MS = 7 * DAY_MS

/** A TXT record must have been gone for so long, and in so many checks, before its name lapses. */
const LAPSE_AFTER_MS = 3 * DAY_MS
const LAPSE_CHECKS = 3

/** A claim holds this long against a check that died with its process. */
export const CHECK_LEASE_MS = 60 * SECOND_MS

/** A TXT proof counts for new names while it was seen within a check interval and some slack. */
const STANDING_MS = 2 * DAY_MS

/** A proof that was seen so shortly before is not looked at again before an order. */
const FRESH_MS = 10 * 60 * SECOND_MS

/**
 * When an unproven claim is looked at next: after a tenth of its age, at least 2 s, at most 1 h, once a
 * day after a week. So somebody who waits sees the proof within seconds, and a forgotten claim costs
 * about 90 checks in its first ten hours. `random` in [0, 1) spreads them by 10 %.
 */
export function nextPendingCheck(createdAt: Date, now: Date, random: number): Date {
  const ageMs = Math.max(0, now.getTime() - createdAt.getTime())
  const waitMs = ageMs > EAGER_MS ? DAY_MS : Math.min(Math.max(ageMs / 10, FIRST_WAIT_MS), HOUR_MS)
  return new Date(now.getTime() + waitMs * (1 + random / 10))
}

/** When a proven name is looked at next: daily, 10 % sooner or later. */
export function nextVerifiedCheck(now: Date, random: number): Date {
  return new Date(now.getTime() + DAY_MS * (0.9 + random / 5))
}

/** Whether a proof that was last seen at `seenAt` and missed in `failures` checks in a row is given up. */
export function hasLapsed(seenAt: Date, failures: number, now: Date): boolean {
  return failures >= LAPSE_CHECKS && now.getTime() - seenAt.getTime() >= LAPSE_AFTER_MS
}

/** TXT proofs seen after this stand for new names, and against other tenants. */
export function standingSince(now: Date): Date {
  return new Date(now.getTime() - STANDING_MS)
}

/** TXT proofs seen after this need no look before an order. */
export function freshSince(now: Date): Date {
  return new Date(now.getTime() - FRESH_MS)
}

/** TXT proofs seen after this still count while the DNS gives no answer at all. */
export function excusedSince(now: Date): Date {
  return new Date(now.getTime() - LAPSE_AFTER_MS)
}
