import type { Tx } from '../db.ts'
import type { Prisma } from '../generated/client.ts'

/** What has to be read for a tenant's view. */
export const tenantInclude = { plan: { select: { name: true } } } as const satisfies Prisma.TenantInclude

/** A tenant row with the name of its plan. */
export type TenantRow = Prisma.TenantGetPayload<{ include: typeof tenantInclude }>

/** Adds a tenant. */
export function insertTenant(tx: Tx, data: Prisma.TenantUncheckedCreateInput): Promise<TenantRow> {
  return tx.tenant.create({ data, include: tenantInclude })
}

/** Changes a tenant. */
export function updateTenant(tx: Tx, id: string, data: Prisma.TenantUncheckedUpdateInput): Promise<TenantRow> {
  return tx.tenant.update({ where: { id }, data, include: tenantInclude })
}

/** Deletes a tenant and what hangs on it: memberships, tokens bound to it, unused domains and certificates. */
export async function deleteTenant(tx: Tx, id: string): Promise<void> {
  await tx.tenant.delete({ where: { id } })
}

/** Locks a tenant's row against whatever adds to it, until `tx` ends. */
export async function lockTenant(tx: Tx, id: string): Promise<void> {
  await tx.$queryRaw`select id from tenant where id = ${id}::uuid for update`
}
