/** Sleep that can be cut short, for a loop of one. A wake that comes while nobody sleeps cuts the next sleep. */
export type Sleeper = {
  /** Resolves after `ms`, or at a wake since the last `begin`. */
  sleep(ms: number): Promise<void>
  wake(): void
  /** A pass begins: wakes from before it are served by it. */
  begin(): void
}

/** Makes a sleeper; while `signal` is aborted it never sleeps. */
export function createSleeper(signal: AbortSignal): Sleeper {
  let isWoken = false
  let release: (() => void) | null = null
  signal.addEventListener('abort', () => release?.(), { once: true })
  return {
    begin() {
      isWoken = false
    },
    wake() {
      isWoken = true
      release?.()
    },
    sleep: (ms) =>
      new Promise((resolve) => {
        if (isWoken || signal.aborted) return resolve()
        const timer = setTimeout(done, Math.max(0, ms))
        release = done
        function done(): void {
          clearTimeout(timer)
          release = null
          resolve()
        }
      }),
  }
}
