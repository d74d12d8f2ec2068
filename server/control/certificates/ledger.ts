import type { Limit } from './limits.ts'

/**
 * A token bucket: what is left of a limit. It is written when something is spent and refills by the
 * clock alone, so that nothing has to touch it meanwhile. All functions are pure.
 */
export type Bucket = {
  readonly tokens: number
  readonly updatedAt: Date
  /** Nothing is spent before: the CA said so. */
  readonly blockedUntil: Date | null
}

/** A bucket that nothing was taken from. */
export function fullBucket(limit: Limit, now: Date): Bucket {
  return { tokens: limit.capacity, updatedAt: now, blockedUntil: null }
}

/** The bucket as it is now. A clock that went back gives nothing and takes nothing. */
export function refilled(bucket: Bucket, limit: Limit, now: Date): Bucket {
  const seconds = Math.max(0, (now.getTime() - bucket.updatedAt.getTime()) / 1_000)
  const tokens = Math.min(limit.capacity, bucket.tokens + (seconds * limit.capacity) / limit.periodSeconds)
  const isBlocked = bucket.blockedUntil !== null && bucket.blockedUntil > now
  return { tokens, updatedAt: now, blockedUntil: isBlocked ? bucket.blockedUntil : null }
}

/** Takes one token; null when there is none, or the CA has blocked. */
export function spent(bucket: Bucket, limit: Limit, now: Date): Bucket | null {
  const present = refilled(bucket, limit, now)
  if (present.blockedUntil !== null || present.tokens < 1) return null
  return { ...present, tokens: present.tokens - 1 }
}

/** Gives a token back: what it was taken for did not happen. */
export function refunded(bucket: Bucket, limit: Limit, now: Date): Bucket {
  const present = refilled(bucket, limit, now)
  return { ...present, tokens: Math.min(limit.capacity, present.tokens + 1) }
}

/** What the CA said overrules the count: it is empty, and blocked until then. */
export function blocked(until: Date, now: Date): Bucket {
  return { tokens: 0, updatedAt: now, blockedUntil: until }
}

/** When `ahead` tokens and one more will have come, if nobody else takes any. Not before `now`. */
export function availableAt(bucket: Bucket, limit: Limit, now: Date, ahead = 0): Date {
  const present = refilled(bucket, limit, now)
  const missing = Math.max(0, 1 + ahead - present.tokens)
  const from = Math.max(now.getTime(), present.blockedUntil?.getTime() ?? 0)
  return new Date(Math.ceil(from + (missing * limit.periodSeconds * 1_000) / limit.capacity))
}
