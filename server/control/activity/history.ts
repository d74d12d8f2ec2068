import type { Actor } from '../auth/access.ts'
import type { Db } from '../db.ts'
import { AppError } from '../errors.ts'
import type { EventView, HistoryQuery } from '../events/schema.ts'
import type { Prisma } from '../generated/client.ts'
import type { Paged } from '../schema.ts'
import { eventView, visibleEvents } from './visibility.ts'

const DEFAULT_LIMIT = 50

/** Reads events that have happened, newest first. Throws INVALID_CURSOR. */
export type EventHistory = (actor: Actor, query: HistoryQuery) => Promise<Paged<EventView>>

/** Makes the reader. */
export function createEventHistory(db: Db): EventHistory {
  return async (actor, query) => {
    const where: Prisma.EventWhereInput[] = [visibleEvents(actor)]
    if (query.tenantId !== undefined) where.push({ tenantId: query.tenantId })
    if (query.subjectId !== undefined) where.push({ subjectId: query.subjectId })
    if (query.action !== undefined)
      where.push({ action: query.action.endsWith('.') ? { startsWith: query.action } : query.action })
    if (query.cursor !== undefined) where.push({ id: { lt: readCursor(query.cursor) } })
    const limit = query.limit ?? DEFAULT_LIMIT
    const rows = await db.event.findMany({ where: { AND: where }, orderBy: { id: 'desc' }, take: limit + 1 })
    const items = rows.slice(0, limit).map(eventView)
    const last = items.at(-1)
    return { items, nextCursor: rows.length > limit && last !== undefined ? writeCursor(last.id) : null }
  }
}

function writeCursor(id: string): string {
  return Buffer.from(`e${id}`).toString('base64url')
}

function readCursor(cursor: string): bigint {
  const [, id] = /^e(\d{1,18})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1')) ?? []
  if (id === undefined) throw new AppError('INVALID_CURSOR', 'Use the nextCursor of the page before, unchanged.')
  return BigInt(id)
}
