import type { Logger } from '../../process/log.ts'
import type { Db } from '../db.ts'
import { type Loop, startLoop } from './loop.ts'

const DAY_MS = 86_400_000
const INTERVAL_MS = 6 * 3_600_000
/** Rows of one statement, so that none holds locks for long. */
const BATCH = 1_000

/** Rows that are of no use any more after a while. */
export type Retention = {
  /** What goes, in the plural, for the log. */
  readonly what: string
  readonly keepDays: number
  /** Deletes up to `limit` rows that have been of no use since `before`. Returns how many went. */
  readonly forget: (db: Db, before: Date, limit: number) => Promise<number>
}

/**
 * Starts the loop that forgets old rows, in small statements: killed anywhere, the next pass goes on,
 * and several processes that run it do no harm to each other.
 */
export function startRetention(deps: {
  readonly db: Db
  readonly log: Logger
  readonly retentions: readonly Retention[]
}): Loop {
  const { db, log, retentions } = deps
  return startLoop({
    name: 'retention',
    log,
    intervalMs: INTERVAL_MS,
    async pass(signal) {
      for (const { what, keepDays, forget } of retentions) {
        const before = new Date(Date.now() - keepDays * DAY_MS)
        let gone = 0
        for (let batch = BATCH; batch === BATCH && !signal.aborted; gone += batch)
          batch = await forget(db, before, BATCH)
        if (gone > 0) log.info({ what, gone, keepDays }, 'forgot old rows')
      }
      return null
    },
  })
}
