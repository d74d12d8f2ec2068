import { setTimeout as pause } from 'node:timers/promises'
import type { Logger } from '../../process/log.ts'
import { createSleeper } from '../../process/sleeper.ts'
import type { Topic } from '../db.ts'
import type { Hints } from './hints.ts'

/** Wait after a pass that failed, so that an outage is no hot loop. */
const FAILURE_PAUSE_MS = 1_000

/** A loop that compares wanted with actual. */
export type Loop = {
  /** Runs a pass soon (at once when idle, again after the running one otherwise). */
  wake(): void
  /** Stops and waits for the running pass. */
  stop(): Promise<void>
}

/** What a loop needs. */
export type LoopOptions = {
  readonly name: string
  /** What wakes it besides its interval; both or neither. */
  readonly topic?: Topic
  readonly hints?: Hints
  readonly log: Logger
  /** Longest wait between passes, for hints that were lost. */
  readonly intervalMs: number
  /** One pass; `signal` aborts at stop. Returns the wait until the next due work, or null for the interval. */
  readonly pass: (signal: AbortSignal) => Promise<number | null>
}

/** Starts a loop: one pass at a time, woken by hints, by due work and by its interval. */
export function startLoop(options: LoopOptions): Loop {
  const { name, log, intervalMs } = options
  const abort = new AbortController()
  const sleeper = createSleeper(abort.signal)
  const run = async (): Promise<void> => {
    while (!abort.signal.aborted) {
      sleeper.begin()
      try {
        const waitMs = (await options.pass(abort.signal)) ?? intervalMs
        await sleeper.sleep(Math.min(waitMs, intervalMs))
      } catch (error) {
        if (abort.signal.aborted) return
        log.error({ err: error, loop: name }, 'a pass failed; trying again')
        await pause(FAILURE_PAUSE_MS, undefined, { signal: abort.signal }).catch(() => undefined)
      }
    }
  }
  const { topic, hints } = options
  const unsubscribe = topic === undefined ? undefined : hints?.subscribe(topic, sleeper.wake)
  const running = run()
  return {
    wake: sleeper.wake,
    async stop() {
      unsubscribe?.()
      abort.abort()
      await running
    },
  }
}
