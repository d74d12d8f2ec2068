import { type AckMessage, type HelloMessage, LEASE_MS, type LinkException } from '../../contract/link.ts'
import type { Db, Tx } from '../db.ts'
import type { Prisma } from '../generated/client.ts'
import { type Page, pageArguments } from '../schema.ts'

/** What is read of an edge. */
const include = { _count: { select: { exceptions: true } } } as const satisfies Prisma.EdgeInclude

/** An edge as it is kept. */
export type EdgeRow = Prisma.EdgeGetPayload<{ include: typeof include }>

/** A record that an edge does not serve, as it is kept. */
export type EdgeExceptionRow = Prisma.EdgeExceptionGetPayload<object>

/** Most exceptions that one edge is shown with. */
const SHOWN_EXCEPTIONS = 100

/** Edges by id, a row more than the page. */
export function findEdges(db: Db, page: Page): Promise<EdgeRow[]> {
  return db.edge.findMany({ ...pageArguments(page), include })
}

/** One edge with its oldest exceptions, or null. */
export function findEdge(db: Db | Tx, id: string): Promise<(EdgeRow & { exceptions: EdgeExceptionRow[] }) | null> {
  const exceptions = { orderBy: { revision: 'asc' }, take: SHOWN_EXCEPTIONS } as const
  return db.edge.findUnique({ where: { id }, include: { ...include, exceptions } })
}

/** The feed that edges are compared with; revision 0 before the first start. */
export async function findHead(db: Db | Tx): Promise<{ feedId: string | null; revision: bigint }> {
  const row = await db.installation.findUnique({ where: { id: 1 }, select: { feedId: true, revision: true } })
  return row ?? { feedId: null, revision: 0n }
}

/** Deletes an edge unless it is live by the database's clock. False: it is live, or there is none. */
export async function deleteDeadEdge(tx: Tx, id: string): Promise<boolean> {
  const deleted = await tx.$executeRaw`
    delete from edge where id = ${id}::uuid and (lease_expires_at is null or lease_expires_at <= now())`
  return deleted > 0
}

/**
 * Writes what an edge said when it came: `revision` is what it holds of the present feed, 0 when it
 * begins anew. The lease is not touched: only an ack says that workers serve.
 */
export async function saveHello(db: Db, hello: HelloMessage, revision: number): Promise<void> {
  const known = {
    name: hello.name,
    publicKey: Buffer.from(hello.publicKey, 'base64'),
    feedId: hello.feedId,
    revision: BigInt(revision),
  }
  await db.edge.upsert({ where: { id: hello.edgeId }, create: { id: hello.edgeId, ...known }, update: known })
}

/** Where the edge that was heard last answers HTTPS; null while there was none. */
export async function lastHttpsPort(db: Db): Promise<number | null> {
  const edge = await db.edge.findFirst({
    where: { httpsPort: { not: null } },
    orderBy: { leaseExpiresAt: { sort: 'desc', nulls: 'last' } },
    select: { httpsPort: true },
  })
  return edge?.httpsPort ?? null
}

/** What an edge has confirmed; exceptions null: they are as they were. `feedId` null: its snapshot is not complete. */
export type Confirmation = {
  readonly edgeId: string
  readonly feedId: string | null
  readonly ack: AckMessage
  readonly exceptions: readonly LinkException[] | null
}

/** Writes an ack and renews the lease by the database's clock. False: the edge was deleted. */
export async function saveAck(db: Db, { edgeId, feedId, ack, exceptions }: Confirmation): Promise<boolean> {
  return db.$transaction(async (tx) => {
    const updated = await tx.$executeRaw`
      update edge set revision = ${ack.revision}, workers = ${ack.workers}, runtime = ${ack.runtime},
        version = ${ack.version}, https_port = ${ack.httpsPort}, feed_id = coalesce(${feedId}::uuid, feed_id), updated_at = now(),
        lease_expires_at = now() + ${LEASE_MS} * interval '1 millisecond'
      where id = ${edgeId}::uuid`
    if (updated === 0 || exceptions === null) return updated > 0
    await tx.edgeException.deleteMany({ where: { edgeId } })
    const data = exceptions.map((exception) => ({ ...exception, edgeId, revision: BigInt(exception.revision) }))
    await tx.edgeException.createMany({ data, skipDuplicates: true })
    return true
  })
}
