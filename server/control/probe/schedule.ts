import type { Verdict } from './judge.ts'

const SECOND_MS = 1_000
const HOUR_MS = 3_600 * SECOND_MS
const DAY_MS = 24 * HOUR_MS
/** A first difference is looked at again before it is an alarm. */
const AGAIN_MS = 60 * SECOND_MS
const ALARM_MS = 10 * 60 * SECOND_MS
const LONGEST_ALARM_MS = 6 * HOUR_MS

/** How a hostname stands after a look, as it is kept. */
export type ProbeStanding = { readonly state: 'ok' | 'suspect' | 'failed' | 'skipped'; readonly failures: number }

/** How a hostname stands after a verdict: twice in a row not as it should be is failed, until it is right again. */
export function standingAfter(
  before: { readonly state: string; readonly failures: number },
  verdict: Verdict,
): ProbeStanding {
  if (verdict.kind === 'ok') return { state: 'ok', failures: 0 }
  // What could not be looked at says nothing new.
  if (verdict.kind === 'skipped')
    return before.state === 'failed'
      ? { state: 'failed', failures: before.failures }
      : { state: 'skipped', failures: 0 }
  if (verdict.kind === 'grace')
    return before.state === 'failed'
      ? { state: 'failed', failures: before.failures }
      : { state: 'suspect', failures: 0 }
  const failures = before.failures + 1
  return { state: failures >= 2 ? 'failed' : 'suspect', failures }
}

/**
 * The wait in ms before the next look: within a day when all is well (spread over its last fifth), a minute when in
 * doubt, and less and less often, up to six hours, while it has failed. `random` in [0, 1).
 */
export function nextProbeMs({ state, failures }: ProbeStanding, random: number): number {
  if (state === 'suspect') return AGAIN_MS
  if (state === 'failed') return Math.min(ALARM_MS * 2 ** Math.min(Math.max(failures - 2, 0), 10), LONGEST_ALARM_MS)
  return DAY_MS * (0.8 + random / 5)
}
