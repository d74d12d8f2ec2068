import type { Db } from '../db.ts'
import type { Event } from '../generated/client.ts'

const BATCH = 500
/** A transaction ends within this time (see `write`), so an id that was skipped for longer never comes. */
const GAP_LIFE_MS = 60_000
/** A jump of ids by more than this (a sequence that was set) is not waited for. */
const MAX_GAP = 5_000

/** Reads each event once, soon after its transaction has committed. */
export type EventTail = {
  /** The events that have become visible since the last call. Not to be called again before it has ended. */
  read(now?: number): Promise<Event[]>
}

/**
 * Follows the event table from `lastId`. Ids are given out before their transactions commit, so a lower
 * id may appear after a higher one: ids that were skipped are asked for again until they come or are
 * too old to come.
 */
export function createEventTail(db: Db, lastId: bigint): EventTail {
  let head = lastId
  const gaps = new Map<bigint, number>()

  const noteGaps = (from: bigint, to: bigint, now: number): void => {
    if (to - from > BigInt(MAX_GAP)) return
    for (let id = from + 1n; id < to; id++) gaps.set(id, now)
  }
  return {
    async read(now = Date.now()) {
      for (const [id, since] of gaps) if (now - since > GAP_LIFE_MS) gaps.delete(id)
      const late =
        gaps.size === 0
          ? []
          : await db.event.findMany({ where: { id: { in: [...gaps.keys()] } }, orderBy: { id: 'asc' } })
      for (const { id } of late) gaps.delete(id)
      const rows = await db.event.findMany({ where: { id: { gt: head } }, orderBy: { id: 'asc' }, take: BATCH })
      for (const { id } of rows) {
        noteGaps(head, id, now)
        head = id
      }
      return [...late, ...rows]
    },
  }
}
