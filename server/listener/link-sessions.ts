import { setTimeout as pause } from 'node:timers/promises'

const MIN_BACKOFF_MS = 200
/** A control plane of an older version refuses a channel: it is asked again so often. */
const MAX_BACKOFF_MS = 10_000

/**
 * Runs a session with the control plane again and again until the signal; waits longer after each that ends soon. A
 * session that throws is told of.
 */
export async function keepSessions(
  session: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
  onFailure: (error: unknown) => void,
): Promise<void> {
  let backoffMs = MIN_BACKOFF_MS
  while (!signal.aborted) {
    const since = performance.now()
    await session(signal).catch(onFailure)
    backoffMs = performance.now() - since > MAX_BACKOFF_MS ? MIN_BACKOFF_MS : Math.min(backoffMs * 2, MAX_BACKOFF_MS)
    await pause(backoffMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => undefined)
  }
}
