import type { Server } from 'node:net'

/** After this a draining worker ends with the connections that are left. */
const DRAIN_MS = 10_000
/** How often it looks whether all are gone. */
const LOOK_MS = 50
/** Turns of the event loop that bring no connection, after which the accept queue counts as empty. */
const QUIET_TURNS = 2
/** Under a flood the queue is never empty; what is left after this is reset, where the kernel may not hand it on. */
const SWEEP_MS = 3_000

/** What a drain works on. */
export type DrainTarget = {
  readonly listeners: readonly Server[]
  /** Connections that were ever accepted. */
  readonly accepted: () => number
  /** Connections that are open. */
  readonly open: () => number
  /** Tells all connections, those that come later as well, that they shall end. */
  readonly part: () => void
}

/**
 * Ends a worker without losing anybody: what waits in the accept queue is taken first, since closing a
 * listener resets it where the kernel may not hand it on (`permitMigration`); then the ports are closed,
 * connections end after what they have asked for, and `end` is called, at most `DRAIN_MS` later.
 * A connection whose last packet of the TCP handshake is still on its way is reset even so.
 */
export async function drainWorker(target: DrainTarget, end: () => void): Promise<void> {
  const since = Date.now()
  target.part()
  await emptyQueue(target.accepted)
  for (const listener of target.listeners) listener.close()
  const leave = (): void => {
    if (target.open() === 0 || Date.now() - since > DRAIN_MS) end()
  }
  setInterval(leave, LOOK_MS)
  leave()
}

/**
 * Bun accepts all that waits in one turn, Node one connection a turn (measured), right before the immediates: so
 * the port closes at once after the last look.
 */
async function emptyQueue(accepted: () => number): Promise<void> {
  const since = Date.now()
  let quiet = 0
  while (quiet < QUIET_TURNS && Date.now() - since < SWEEP_MS) {
    const before = accepted()
    await new Promise((resolve) => setImmediate(resolve))
    quiet = accepted() === before ? quiet + 1 : 0
  }
}
