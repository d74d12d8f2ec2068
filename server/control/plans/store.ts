import type { Tx } from '../db.ts'
import type { Plan, Prisma } from '../generated/client.ts'

/** Adds a plan. */
export function insertPlan(tx: Tx, data: Prisma.PlanCreateInput): Promise<Plan> {
  return tx.plan.create({ data })
}

/** Changes a plan. */
export function updatePlan(tx: Tx, id: string, data: Prisma.PlanUpdateInput): Promise<Plan> {
  return tx.plan.update({ where: { id }, data })
}

/** Deletes a plan; the foreign key refuses it while tenants have it. */
export async function deletePlan(tx: Tx, id: string): Promise<void> {
  await tx.plan.delete({ where: { id } })
}
