import type { Logger } from '../../process/log.ts'
import { type Loop, startLoop } from '../jobs/loop.ts'
import { type LookDeps, lookAtHostname } from './look.ts'
import { type ClaimedProbe, claimProbes, msUntilProbe } from './store.ts'

/** Looks that are begun in a second: 100,000 names are one or two a second, and a handshake costs edges half a millisecond. */
const PER_SECOND = 20
/** Looks that wait at the same time: those that are not answered cannot hold up the others for long. */
const PLACES = 80
const INTERVAL_MS = 5_000

/** What the loop needs. */
export type ProbeLoopDeps = Omit<LookDeps, 'now' | 'random'> & {
  readonly log: Logger
  /** The setting `probe.isEnabled`. */
  readonly isEnabled: () => Promise<boolean>
  readonly now?: () => Date
  readonly random?: () => number
}

/**
 * Looks at served hostnames from outside, for ever: each once a day, and within a minute after a certificate was
 * activated. A pass only begins looks, at most 20 a second. Several processes share the work.
 */
export function startProbeLoop(deps: ProbeLoopDeps): Loop {
  const { db, log } = deps
  const now = deps.now ?? (() => new Date())
  const looking = { ...deps, now, random: deps.random ?? Math.random }
  const running = new Set<Promise<void>>()
  const begin = (claimed: ClaimedProbe): void => {
    const task = lookAtHostname(looking, claimed)
      // It is due again when its lease ends.
      .catch((err: unknown) =>
        log.warn({ err, hostnameId: claimed.hostnameId }, 'a look from outside failed on our side'),
      )
      .finally(() => running.delete(task))
    running.add(task)
  }
  const loop = startLoop({
    name: 'probe',
    log,
    intervalMs: INTERVAL_MS,
    async pass() {
      if (!(await deps.isEnabled())) return null
      const free = Math.min(PER_SECOND, PLACES - running.size)
      if (free <= 0) return 1_000
      const claimed = await claimProbes(db, now(), free)
      for (const one of claimed) begin(one)
      if (claimed.length === free) return 1_000
      const waitMs = await msUntilProbe(db, now())
      return waitMs === null ? null : Math.max(waitMs, 1_000)
    },
  })
  return {
    wake: loop.wake,
    async stop() {
      await loop.stop()
      await Promise.all(running)
    },
  }
}
