import type { Predecessor } from './handover.ts'
import type { Supervisor } from './supervisor.ts'

/**
 * A supervisor whose changes are heard by the workers of its predecessor too, while these drain: before a change
 * is confirmed to the control plane, and to a successor that has asked in turn.
 */
export function withPredecessor<S extends Pick<Supervisor, 'pool' | 'alone'>>(
  supervisor: S,
  predecessor: Pick<Predecessor, 'invalidate'>,
): S {
  const { pool, alone } = supervisor
  const invalidate: typeof pool.invalidate = async (keys) => {
    const wasHeard = await Promise.all([predecessor.invalidate(keys), pool.invalidate(keys)])
    // Killed, perhaps: then its workers end by themselves, since ours have taken over.
    if (!wasHeard[0]) await alone()
  }
  return { ...supervisor, pool: { ...pool, invalidate } }
}
