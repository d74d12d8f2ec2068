/** The wait in ms before the next attempt after so many failures in a row (from 1), without jitter. */
export type DelayAfter = (failures: number) => number

/** Failures after which the schedule does not change any more. */
const MANY_FAILURES = 100

/**
 * How many attempts still fit before `end`, when the next one is at `next` and all fail; counted up to `most`. An
 * attempt that is overdue counts as one that is made now.
 */
export function attemptsBefore(
  end: Date,
  next: Date,
  now: Date,
  failures: number,
  delayAfter: DelayAfter,
  most: number,
): number {
  let at = Math.max(next.getTime(), now.getTime())
  let count = 0
  while (count < most && at < end.getTime()) {
    count += 1
    at += Math.max(1, delayAfter(failures + count))
  }
  return count
}

/**
 * What one attempt is worth for a certificate that is not renewed by us: the usual wait between two attempts, but
 * never more than a thirtieth of the lifetime, so that short ones are warned of in proportion.
 */
export function attemptWorthMs(lifetimeMs: number, delayAfter: DelayAfter): number {
  return Math.min(delayAfter(MANY_FAILURES), lifetimeMs / 30)
}
