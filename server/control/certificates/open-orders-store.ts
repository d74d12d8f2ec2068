import type { Db } from '../db.ts'

/** Which of these orders have not ended. Reads alone. */
export async function openOrders(db: Db, ids: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await db.order.findMany({
    where: { id: { in: [...ids] }, state: { notIn: ['valid', 'invalid', 'abandoned'] } },
    select: { id: true },
  })
  return new Set(rows.map(({ id }) => id))
}
