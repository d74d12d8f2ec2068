import type { HealthCheck } from '../../contract/site-options.ts'
import type { Deadline, Deadlines } from '../deadlines.ts'

/** Checks that one worker has under way at once, of all sites and of one. */
const MAX_CHECKS = 32
const MAX_CHECKS_OF_SITE = 4
/** A site without a request for so many intervals is not checked any more: a million idle sites cost nothing. */
const IDLE_INTERVALS = 10
/** The first check comes within this after the request that asks for it. */
const FIRST_CHECK_MS = 1_000
const JITTER = 0.2

/** The upstreams of a site, as far as checking goes. */
export type CheckTarget<P> = {
  readonly check: HealthCheck
  readonly peers: readonly P[]
  /** Asks one; calls `done` once, at the latest when the check's time is over. */
  ask(peer: P, done: (isWell: boolean) => void): void
  tell(peer: P, isWell: boolean): void
  /** Checking pauses: what the last checks said is not kept up any more. */
  forget(): void
}

/** The checks of one site. */
export type Watch = {
  /** A request came: checks go on, or begin. */
  touch(): void
  close(): void
}

/** Makes what checks the upstreams of all sites of a worker. */
export function createUpstreamChecks(deps: {
  readonly deadlines: Deadlines
  readonly now?: () => number
  readonly random?: () => number
}): { watch<P>(target: CheckTarget<P>): Watch } {
  const now = deps.now ?? (() => performance.now())
  const random = deps.random ?? Math.random
  const slots = createSlots()
  return {
    watch<P>(target: CheckTarget<P>): Watch {
      const intervalMs = target.check.intervalSeconds * 1_000
      const busy = new Set<P>()
      let touchedAtMs = 0
      let next: Deadline | null = null
      let isRunning = false
      let isClosed = false
      const round = (): void => {
        if (isClosed) return
        if (now() - touchedAtMs > intervalMs * IDLE_INTERVALS) {
          isRunning = false
          return void target.forget()
        }
        for (const peer of target.peers) if (!busy.has(peer)) begin(peer)
        next?.rearm(intervalMs * (1 - JITTER / 2 + random() * JITTER))
      }
      const begin = (peer: P): void => {
        busy.add(peer)
        slots.take(target, (release) => {
          const done = (isWell: boolean): void => {
            busy.delete(peer)
            release()
            if (!isClosed) target.tell(peer, isWell)
          }
          if (isClosed) done(true)
          else target.ask(peer, done)
        })
      }
      return {
        touch() {
          touchedAtMs = now()
          if (isRunning || isClosed) return
          isRunning = true
          const firstMs = random() * Math.min(FIRST_CHECK_MS, intervalMs)
          if (next === null) next = deps.deadlines.arm(firstMs, round)
          else next.rearm(firstMs)
        },
        close() {
          isClosed = true
          next?.clear()
        },
      }
    },
  }
}

type Slots = { take(owner: object, run: (release: () => void) => void): void }

/** Runs so many at once, and of one owner; the rest waits, first come first served among those that may run. */
function createSlots(): Slots {
  const runningOf = new Map<object, number>()
  const waiting: { owner: object; run: (release: () => void) => void }[] = []
  let running = 0
  const mayRun = (owner: object): boolean => running < MAX_CHECKS && (runningOf.get(owner) ?? 0) < MAX_CHECKS_OF_SITE
  const count = (owner: object, change: 1 | -1): void => {
    running += change
    const of = (runningOf.get(owner) ?? 0) + change
    if (of === 0) runningOf.delete(owner)
    else runningOf.set(owner, of)
  }
  const start = (owner: object, run: (release: () => void) => void): void => {
    count(owner, 1)
    run(() => {
      count(owner, -1)
      const at = waiting.findIndex((one) => mayRun(one.owner))
      const one = at < 0 ? undefined : waiting.splice(at, 1)[0]
      if (one !== undefined) start(one.owner, one.run)
    })
  }
  return {
    take(owner, run) {
      if (mayRun(owner)) start(owner, run)
      else waiting.push({ owner, run })
    },
  }
}
