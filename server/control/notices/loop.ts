import type { Logger } from '../../process/log.ts'
import { retryDelayMs } from '../certificates/schedule.ts'
import type { Db } from '../db.ts'
import { type Loop, startLoop } from '../jobs/loop.ts'
import type { DelayAfter } from './attempts.ts'
import { tellTenants } from './digest.ts'
import { type ClockSkew, lookAtPlatform } from './platform.ts'
import { lookAtCertificates } from './watch.ts'

const INTERVAL_MS = 15_000
const PLATFORM_MS = 60_000

/** The schedule of attempts that fail for the tenant's reasons, without its jitter. */
export const usualDelay: DelayAfter = (failures) => retryDelayMs('backoff', failures, null, () => 0.5)

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
      await lookAtCertificates(db, now, usualDelay, signal)
      if (performance.now() - platformAt >= PLATFORM_MS) {
        platformAt = performance.now()
        await lookAtPlatform(db, now(), deps.clockSkew)
      }
      if (await deps.hasMail()) await tellTenants(db, now(), await deps.panelUrl())
      return null
    },
  })
}
