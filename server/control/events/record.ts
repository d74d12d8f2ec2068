import type { Db, Tx } from '../db.ts'
import { hint } from '../db.ts'
import type { Prisma } from '../generated/client.ts'

/** Something that happened. `action` is `<subject>.<verb in the past>`, e.g. `hostname.verified`. */
export type NewEvent = {
  /** `actorName(actor)`, or `system`. */
  readonly actor: string
  readonly tenantId: string | null
  readonly action: string
  readonly subjectId?: string
  readonly subjectName?: string
  /** Never a secret. */
  readonly detail?: Prisma.InputJsonObject
}

/** Writes an event in the transaction of what it tells of; the event stream is woken when that commits. */
export async function recordEvent(tx: Tx, event: NewEvent): Promise<void> {
  await tx.event.create({ data: { ...event } })
  await hint(tx, 'events')
}

/** Writes many events of one transaction at once, in the order given. */
export async function recordEvents(tx: Tx, events: readonly NewEvent[]): Promise<void> {
  if (events.length === 0) return
  await tx.event.createMany({ data: events.map((event) => ({ ...event })) })
  await hint(tx, 'events')
}

/**
 * Deletes events from before, oldest first, and returns how many. Looks at the oldest `limit` alone: ids
 * rise with time, so that where these are younger, all are.
 */
export function forgetEvents(db: Db, before: Date, limit: number): Promise<number> {
  return db.$executeRaw`
    delete from event where id in (select id from event order by id limit ${limit}) and at < ${before}`
}
