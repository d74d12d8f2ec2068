import { randomUUIDv7 } from 'node:crypto'
import type { Db, Tx } from '../../db.ts'
import { Prisma } from '../../generated/client.ts'

/** Whoever works on an operation and is not heard of for this long is taken for dead; one step takes less. */
const LEASE_SECONDS = 60

/** An operation as it is kept. */
export type OperationRow = Prisma.OperationGetPayload<object>

/** What is written of a new operation. */
export type NewOperation = Pick<OperationRow, 'kind' | 'tenantId'> &
  Partial<Pick<OperationRow, 'certificateId' | 'versionId' | 'issuerId' | 'accountId' | 'reason' | 'state'>>

/** Writes a new operation, due at once unless it has ended. Throws a unique violation where another one is under way. */
export function insertOperation(tx: Tx, data: NewOperation): Promise<OperationRow> {
  const hasEnded = data.state !== undefined && data.state !== 'running'
  return tx.operation.create({ data: { ...data, id: randomUUIDv7(), dueAt: hasEnded ? null : new Date() } })
}

/** One operation, or null. */
export function findOperation(db: Db | Tx, id: string): Promise<OperationRow | null> {
  return db.operation.findUnique({ where: { id } })
}

/** The revocation of a version that is wanted or done, or null. */
export function findRevocation(tx: Tx, versionId: string): Promise<OperationRow | null> {
  return tx.operation.findFirst({ where: { kind: 'revoke', versionId, state: { not: 'failed' } } })
}

/** What is under way on an account, or null. */
export function findRunningOf(tx: Tx, accountId: string): Promise<OperationRow | null> {
  return tx.operation.findFirst({ where: { accountId, state: 'running' } })
}

/** Takes one due operation that nobody works on; `fence` is to be handed to `endStep`. */
export async function claimOperation(db: Db): Promise<OperationRow | null> {
  const [row] = await db.$queryRaw<{ id: string }[]>`
    update operation
       set lease_expires_at = now() + make_interval(secs => ${LEASE_SECONDS}), lease_fence = lease_fence + 1
     where id = (select id from operation
        where due_at <= now() and (lease_expires_at is null or lease_expires_at < now())
        order by due_at limit 1 for update skip locked)
    returning id`
  return row === undefined ? null : findOperation(db, row.id)
}

/** Milliseconds until an operation is due that nobody works on; null when there is none. */
export async function msUntilOperation(db: Db): Promise<number | null> {
  const [row] = await db.$queryRaw<{ ms: number | null }[]>`
    select (extract(epoch from min(greatest(due_at, coalesce(lease_expires_at, due_at))) - now()) * 1000)::float8 as ms
      from operation where due_at is not null`
  return row?.ms == null ? null : Math.max(0, Math.ceil(row.ms))
}

/** Ends a step in the caller's transaction. False when somebody else has taken over: then nothing is to be committed. */
export async function endStep(
  tx: Tx,
  row: OperationRow,
  data: { readonly state: OperationRow['state']; readonly problem: Problem | null; readonly dueAt: Date | null },
): Promise<boolean> {
  const { problem, ...columns } = data
  const { count } = await tx.operation.updateMany({
    where: { id: row.id, leaseFence: row.leaseFence, state: 'running' },
    data: {
      ...columns,
      problem: problem === null ? Prisma.DbNull : { ...problem },
      leaseExpiresAt: null,
      ...(problem === null ? {} : { failures: { increment: 1 } }),
    },
  })
  return count === 1
}

/** Why a step failed, as it is kept and shown. */
export type Problem = { readonly code: string; readonly detail: string }
