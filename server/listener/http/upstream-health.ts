/** So many failures within the window take an upstream out. */
export const FAILURES_TO_OUT = 3
export const FAILURE_WINDOW_MS = 10_000
/** The first time out; each further one in a row is twice as long, up to the longest. */
export const FIRST_OUT_MS = 5_000
export const LONGEST_OUT_MS = 120_000
/** A trial whose outcome nobody told (its visitor left) makes room for another after this. */
export const TRIAL_MS = 10_000
/** So many checks in a row must fail before they count. */
export const CHECKS_TO_UNWELL = 2

/** What one worker knows of an upstream. Times are milliseconds of one clock, passed in. */
export type Health = {
  /** When requests failed, oldest first, while it is in. */
  readonly failures: readonly number[]
  /** How often in a row it was taken out; 0 while it is in. */
  readonly outs: number
  readonly outUntilMs: number
  /** When its trial began; null while there is none. */
  readonly trialAtMs: number | null
  /** Checks that failed in a row. */
  readonly failedChecks: number
}

/** Nothing is known against it. */
export const healthy: Health = { failures: [], outs: 0, outUntilMs: 0, trialAtMs: null, failedChecks: 0 }

/** Whether requests may go there: it is in, or its time out is over and nobody tries it yet. */
export function isOpen(health: Health, nowMs: number): boolean {
  if (health.failedChecks >= CHECKS_TO_UNWELL) return false
  if (health.outs === 0) return true
  return nowMs >= health.outUntilMs && (health.trialAtMs === null || nowMs - health.trialAtMs >= TRIAL_MS)
}

/** A request goes there: the first one after its time out is its trial. */
export function afterChoice(health: Health, nowMs: number): Health {
  const isTrial = health.outs > 0 && nowMs >= health.outUntilMs
  return isTrial ? { ...health, trialAtMs: nowMs } : health
}

/** A request could not be answered by it. What fails while it is out changes nothing, but for its trial. */
export function afterFailure(health: Health, nowMs: number): Health {
  if (health.outs > 0) return nowMs < health.outUntilMs ? health : out(health, nowMs)
  const failures = [...health.failures.filter((at) => nowMs - at < FAILURE_WINDOW_MS), nowMs]
  return failures.length >= FAILURES_TO_OUT ? out(health, nowMs) : { ...health, failures }
}

/** It has answered a request. Old failures stay in their window, so that one that fails now and then is seen. */
export function afterSuccess(health: Health): Health {
  return health.outs === 0 ? health : { ...healthy, failedChecks: health.failedChecks }
}

/** A check has ended: one that is well is in, whatever was known before. */
export function afterCheck(health: Health, isWell: boolean): Health {
  if (!isWell) return { ...health, failedChecks: health.failedChecks + 1 }
  return health.outs === 0 && health.failedChecks === 0 ? health : healthy
}

function out(health: Health, nowMs: number): Health {
  const outs = health.outs + 1
  const ms = Math.min(LONGEST_OUT_MS, FIRST_OUT_MS * 2 ** (outs - 1))
  return { ...health, failures: [], outs, outUntilMs: nowMs + ms, trialAtMs: null }
}
