/** The longest usual wait in ms between two attempts that fail (`schedule.ts`). */
export type UsualWaitMs = number

/**
 * What one attempt is worth in ms: the usual wait between two, but never more than a thirtieth of the certificate's
 * lifetime, so that short ones are warned of in proportion. The schedule itself packs ever more attempts into the
 * rest of a life, so counting those would never come to an end.
 */
export function attemptWorthMs(lifetimeMs: number, usualWaitMs: UsualWaitMs): number {
  return Math.min(usualWaitMs, lifetimeMs / 30)
}
