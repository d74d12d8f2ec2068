import { type Actor, actorName, requireAdmin } from '../auth/access.ts'
import { type Db, write } from '../db.ts'
import { AppError, notFound } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import { type Page, type Paged, paged, type WriteOptions } from '../schema.ts'
import type { EdgeDetailView, EdgeView } from './schema.ts'
import { deleteDeadEdge, type EdgeRow, findEdge, findEdges, findHead } from './store.ts'

/** Edges as administrators see them. They come by themselves when a listener connects. */
export type EdgeService = {
  list(actor: Actor, page: Page): Promise<Paged<EdgeView>>
  /** Throws NOT_FOUND. */
  get(actor: Actor, id: string): Promise<EdgeDetailView>
  /** Forgets an edge that is gone for good. Throws NOT_FOUND, and IN_USE while it is live. */
  remove(actor: Actor, id: string, options: WriteOptions): Promise<void>
}

/** Makes the service. */
export function createEdgeService({ db }: { readonly db: Db }): EdgeService {
  return {
    async list(actor, page) {
      requireAdmin(actor, 'read')
      const [rows, head] = await Promise.all([findEdges(db, page), findHead(db)])
      return paged(rows, page, (row) => view(row, head, Date.now()))
    },
    async get(actor, id) {
      requireAdmin(actor, 'read')
      const [row, head] = await Promise.all([findEdge(db, id), findHead(db)])
      if (row === null) throw notFound('edge')
      const exceptions = row.exceptions.map(({ kind, key, revision, state, reason }) => ({
        kind,
        key,
        revision: Number(revision),
        state,
        reason,
      }))
      return { ...view(row, head, Date.now()), exceptions }
    },
    async remove(actor, id, options) {
      requireAdmin(actor)
      await write(db, options, async (tx) => {
        const row = await findEdge(tx, id)
        if (row === null) throw notFound('edge')
        if (!(await deleteDeadEdge(tx, id)))
          throw new AppError('IN_USE', 'This edge is connected; stop its listener first, then delete it.')
        const subject = { subjectId: id, subjectName: row.name }
        await recordEvent(tx, { actor: actorName(actor), tenantId: null, action: 'edge.deleted', ...subject })
      })
    },
  }
}

type Head = { readonly feedId: string | null; readonly revision: bigint }

function view(row: EdgeRow, head: Head, nowMs: number): EdgeView {
  const isCurrentFeed = row.feedId !== null && row.feedId === head.feedId
  const held = isCurrentFeed ? row.revision : 0n
  return {
    id: row.id,
    name: row.name,
    isLive: row.leaseExpiresAt !== null && row.leaseExpiresAt.getTime() > nowMs,
    feedId: row.feedId,
    isCurrentFeed,
    revision: Number(row.revision),
    lag: Math.max(0, Number(head.revision - held)),
    leaseExpiresAt: row.leaseExpiresAt?.toISOString() ?? null,
    workers: row.workers,
    runtime: row.runtime,
    version: row.version,
    httpsPort: row.httpsPort,
    exceptionCount: row._count.exceptions,
    createdAt: row.createdAt.toISOString(),
  }
}
