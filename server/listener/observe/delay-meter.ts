const STEP_MS = 50

/** How late the event loop was. */
export type DelayMeter = {
  /** The longest delay since the last call, in milliseconds. */
  take(): number
}

/** Measures by a timer of its own, which both runtimes have. */
export function createDelayMeter(): DelayMeter {
  let worst = 0
  let dueAtMs = performance.now() + STEP_MS
  setInterval(() => {
    const now = performance.now()
    worst = Math.max(worst, now - dueAtMs)
    dueAtMs = now + STEP_MS
  }, STEP_MS).unref()
  return {
    take() {
      const delay = Math.max(worst, performance.now() - dueAtMs, 0)
      worst = 0
      return Math.round(delay)
    },
  }
}
