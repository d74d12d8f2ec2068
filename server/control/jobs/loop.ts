import type { Logger } from '../../process/log.ts'
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
  let isWoken = true
  let wakeSleeper: (() => void) | null = null

  const wake = (): void => {
    isWoken = true
    wakeSleeper?.()
  }
  const sleep = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      if (isWoken || abort.signal.aborted) return resolve()
      const timer = setTimeout(done, Math.max(0, Math.min(ms, intervalMs)))
      wakeSleeper = done
      function done(): void {
        clearTimeout(timer)
        wakeSleeper = null
        resolve()
      }
    })
  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      abort.signal.addEventListener(
        'abort',
        () => {
          clearTimeout(timer)
          resolve()
        },
        { once: true },
      )
    })
  const run = async (): Promise<void> => {
    while (!abort.signal.aborted) {
      isWoken = false
      try {
        await sleep((await options.pass(abort.signal)) ?? intervalMs)
      } catch (error) {
        if (abort.signal.aborted) return
        log.error({ err: error, loop: name }, 'a pass failed; trying again')
        await pause(FAILURE_PAUSE_MS)
        isWoken = true
      }
    }
  }
  const { topic, hints } = options
  const unsubscribe = topic === undefined ? undefined : hints?.subscribe(topic, wake)
  const running = run()
  return {
    wake,
    async stop() {
      unsubscribe?.()
      abort.abort()
      wakeSleeper?.()
      await running
    },
  }
}
