import type { Tx } from '../db.ts'
import { notFound } from '../errors.ts'

/** What a tenant's plan allows; null: no limit. */
export type PlanLimits = {
  readonly maxSites: number | null
  readonly maxHostnames: number | null
  readonly maxReleaseBytes: number | null
}

/**
 * The limits of a tenant's plan, for a service that is about to add something. Locks the tenant's row
 * until `tx` ends, so that two that count and add at once cannot both pass the last place. Throws
 * NOT_FOUND.
 */
export async function planLimits(tx: Tx, tenantId: string): Promise<PlanLimits> {
  await tx.$queryRaw`select id from tenant where id = ${tenantId}::uuid for no key update`
  const tenant = await tx.tenant.findUnique({ where: { id: tenantId }, include: { plan: true } })
  if (tenant === null) throw notFound('tenant')
  const { plan } = tenant
  return {
    maxSites: plan?.maxSites ?? null,
    maxHostnames: plan?.maxHostnames ?? null,
    maxReleaseBytes: plan?.maxReleaseBytes == null ? null : Number(plan.maxReleaseBytes),
  }
}
