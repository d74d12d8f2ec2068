import type { Logger } from '../../process/log.ts'
import { retryDelayMs } from '../certificates/schedule.ts'
import type { Db } from '../db.ts'
import { type Loop, startLoop } from '../jobs/loop.ts'
import { tellTenants } from './digest.ts'
import { type ClockSkew, lookAtPlatform } from './platform.ts'
import { lookAtCertificates } from './watch.ts'
import type { UsualWaitMs } from './worth.ts'

const INTERVAL_MS = 15_000
const PLATFORM_MS = 60_000

/** Failures after which the schedule does not change any more. */
const MANY_FAILURES = 100

/** The usual wait between two attempts that fail for the tenant's reasons, in ms, without jitter. */
export const usualWaitMs: UsualWaitMs = retryDelayMs(
  { kind: 'backoff', failures: MANY_FAILURES, retryAfterMs: null, remainingMs: null },
  () => 0.5,
)

/** What notices need from others. */
export type NoticeLoopDeps = {
  readonly db: Db
  readonly log: Logger
  readonly clockSkew: ClockSkew
  /** Whether a mail server is set: while none is, notices wait, and those that mend themselves are never told. */
  readonly hasMail: () => Promise<boolean>
  /** Where the panel is for people outside, without a slash at its end; null: nowhere. */
  readonly panelUrl: () => Promise<string | null>
  readonly now?: () => Date
}

/** Notes what somebody must act on, and tells them by mail in digests. Any number of processes may run it. */
export function startNoticeLoop(deps: NoticeLoopDeps): Loop {
  const { db } = deps
  const now = deps.now ?? (() => new Date())
  let platformAt = Number.NEGATIVE_INFINITY
  return startLoop({
    name: 'notices',
    log: deps.log,
    intervalMs: INTERVAL_MS,
    async pass(signal) {
      await lookAtCertificates(db, now, usualWaitMs, signal)
      if (performance.now() - platformAt >= PLATFORM_MS) {
        platformAt = performance.now()
        await lookAtPlatform(db, now(), deps.clockSkew)
      }
      if (await deps.hasMail()) await tellTenants(db, now(), await deps.panelUrl())
      return null
    },
  })
}
