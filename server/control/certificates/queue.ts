import type { Db, Tx } from '../db.ts'

/** What goes first when an issuer's limits let only some through. */
export const queueClass = { urgent: 0, first: 1, routine: 2 } as const

/** One of the values of `queueClass`. */
export type QueueClass = (typeof queueClass)[keyof typeof queueClass]

/** A place in the queue of an issuer. */
export type QueueEntry = {
  readonly certificateId: string
  readonly tenantId: string
  readonly issuerId: string
  readonly class: QueueClass
  /** End of what is served now; null for a first one. */
  readonly notAfter: Date | null
}

/** Places that are counted one by one; who is further back is told "more than so many". */
export const MAX_COUNTED_PLACE = 10_000

/**
 * The turn of an order within its class. Renewals go by the end of what they renew. First orders take
 * turns by tenant (start-time fair queueing): a tenant's next one comes one turn after its last, and never
 * before the turn that is being served, so that ten thousand names of one tenant do not delay another's first.
 */
export async function takeTurn(tx: Tx, entry: QueueEntry): Promise<bigint> {
  if (entry.notAfter !== null) return BigInt(entry.notAfter.getTime())
  const rows = await tx.$queryRaw<{ turn: bigint }[]>`
    insert into queue_turn (issuer_id, tenant_id, turn)
      select ${entry.issuerId}::uuid, ${entry.tenantId}::uuid, queue_clock + 1 from issuer where id = ${entry.issuerId}::uuid
    on conflict (issuer_id, tenant_id) do update set turn = greatest(queue_turn.turn + 1, excluded.turn)
    returning turn`
  return rows[0]?.turn ?? 0n
}

/** Whether somebody else waits at the issuer who is served no later. */
export async function isBehind(tx: Tx, entry: QueueEntry, turn: bigint | null): Promise<boolean> {
  const rows = await tx.$queryRaw<{ found: number }[]>`
    select 1 as found from certificate
     where queue_issuer_id = ${entry.issuerId}::uuid and queued_at is not null and due_at is null
       and id <> ${entry.certificateId}::uuid
       and (queue_class < ${entry.class} or (queue_class = ${entry.class} and ${turn}::bigint is null)
         or (queue_class = ${entry.class} and queue_turn < ${turn}))
     limit 1`
  return rows.length > 0
}

/** Lets a certificate wait for its turn: nobody looks at it until `letThrough` does. */
export async function enqueue(tx: Tx, entry: QueueEntry, turn: bigint, now: Date): Promise<void> {
  await tx.certificate.update({
    where: { id: entry.certificateId },
    data: {
      queueIssuerId: entry.issuerId,
      queueClass: entry.class,
      queueTurn: turn,
      queuedAt: now,
      dueAt: null,
      leaseHolder: null,
      leaseExpiresAt: null,
    },
  })
}

/** Columns of a certificate that does not wait for its turn. */
export const notQueued = { queueIssuerId: null, queueClass: null, queueTurn: null, queuedAt: null } as const

/** Issuers at whose queue somebody waits. */
export async function issuersWithQueue(db: Db): Promise<string[]> {
  const rows = await db.$queryRaw<{ id: string }[]>`
    select id::text from issuer i where exists (
      select from certificate where queue_issuer_id = i.id and queued_at is not null and due_at is null)`
  return rows.map(({ id }) => id)
}

/**
 * Makes the next ones in the queue due, so many that with those already let through there are `limit`.
 * Costs in proportion to those, not to the queue. Returns how many were let through.
 */
export async function letThrough(tx: Tx, issuerId: string, limit: number): Promise<number> {
  const [under] = await tx.$queryRaw<{ count: bigint }[]>`
    select count(*) as count from certificate
     where queue_issuer_id = ${issuerId}::uuid and queued_at is not null and due_at is not null`
  const free = limit - Number(under?.count ?? 0)
  if (free <= 0) return 0
  const rows = await tx.$queryRaw<{ class: number; turn: bigint }[]>`
    update certificate set due_at = now() where id in (
      select id from certificate
       where queue_issuer_id = ${issuerId}::uuid and queued_at is not null and due_at is null
       order by queue_class, queue_turn, id limit ${free} for update skip locked)
    returning queue_class as class, queue_turn as turn`
  const turns = rows.filter((row) => row.class === queueClass.first).map(({ turn }) => turn)
  const newest = turns.reduce((most, turn) => (turn > most ? turn : most), 0n)
  if (newest > 0n)
    await tx.$executeRaw`
      update issuer set queue_clock = greatest(queue_clock, ${newest}) where id = ${issuerId}::uuid`
  return rows.length
}

/** How many are served before a certificate that waits; null when it does not wait. At most `MAX_COUNTED_PLACE`. */
export async function placeInQueue(db: Db | Tx, certificateId: string): Promise<number | null> {
  const rows = await db.$queryRaw<{ ahead: bigint }[]>`
    select (select count(*) from (
        select from certificate o
         where o.queue_issuer_id = c.queue_issuer_id and o.queued_at is not null and o.due_at is null
           and (o.queue_class, o.queue_turn, o.id) < (c.queue_class, c.queue_turn, c.id)
         limit ${MAX_COUNTED_PLACE}) before) as ahead
      from certificate c where c.id = ${certificateId}::uuid and c.queued_at is not null`
  return rows[0] === undefined ? null : Number(rows[0].ahead)
}
