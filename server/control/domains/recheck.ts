import type { Logger } from '../../process/log.ts'
import type { Db } from '../db.ts'
import type { Hints } from '../jobs/hints.ts'
import { type Loop, startLoop } from '../jobs/loop.ts'
import type { Checker } from './check.ts'
import { type DueCheck, type Lane, makeDueAgain, nextDue, takeDueDomains, takeDueHostnames } from './due-store.ts'

/** Domains that are looked at at the same time; those that keep us waiting cannot take the places of the others. */
const places: Record<Lane, number> = { quick: 12, slow: 4 }
const INTERVAL_MS = 5_000
/** After a check that failed on our own side. */
const RETRY_MS = 3_000

/** What the loop needs. */
export type RecheckDeps = {
  readonly db: Db
  readonly checker: Checker
  readonly hints: Hints
  readonly log: Logger
}

/**
 * Looks at what is due, for ever. A pass only starts checks and does not wait for them; each that ends
 * wakes the next pass. Several processes share the work.
 */
export function startRecheckLoop({ db, checker, hints, log }: RecheckDeps): Loop {
  const running: Record<Lane, Set<Promise<void>>> = { quick: new Set(), slow: new Set() }

  const start = (lane: Lane, due: DueCheck): void => {
    const check = checker
      .check(due.domainId, due.hostnameIds, due.isDomainDue)
      .then(() => undefined)
      .catch(async (error: unknown) => {
        log.error({ err: error, domainId: due.domainId }, 'a check of ownership failed; it is made again soon')
        // Without the database the lease ends by itself.
        await makeDueAgain(db, due, new Date(Date.now() + RETRY_MS)).catch(() => undefined)
      })
      .then(() => {
        running[lane].delete(check)
        loop.wake()
      })
    running[lane].add(check)
  }
  const fill = async (lane: Lane, signal: AbortSignal): Promise<number | null> => {
    const free = () => places[lane] - running[lane].size
    if (free() <= 0 || signal.aborted) return null
    const now = new Date()
    const names = await takeDueHostnames(db, lane, free(), now)
    for (const due of names) start(lane, due)
    if (lane === 'quick' && free() > 0) for (const due of await takeDueDomains(db, free(), now)) start(lane, due)
    if (free() <= 0) return null
    const next = await nextDue(db, lane)
    return next === null ? null : Math.max(0, next.getTime() - Date.now())
  }
  const loop = startLoop({
    name: 'domains.recheck',
    topic: 'domains',
    hints,
    log,
    intervalMs: INTERVAL_MS,
    async pass(signal) {
      const waits = [await fill('quick', signal), await fill('slow', signal)]
      return waits.reduce((least, wait) => (least === null || (wait !== null && wait < least) ? wait : least), null)
    },
  })
  return {
    wake: loop.wake,
    async stop() {
      await loop.stop()
      await Promise.all([...running.quick, ...running.slow])
    },
  }
}
