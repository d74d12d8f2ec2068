import { isUuid } from '../../contract/ids.ts'
import type { TrafficMessage } from '../../contract/link.ts'
import { addCounts, HOUR_MS, OTHER_SITE, type TrafficRow, trafficFields } from '../../contract/traffic.ts'
import type { Db, Tx } from '../db.ts'
import { Prisma } from '../generated/client.ts'

/** The only writer of `traffic_hour` and `traffic_receipt`. */

/** The id of the row of an hour that holds the sum over all sites. */
export const ALL_SITES = 'ffffffff-ffff-ffff-ffff-ffffffffffff'

const columns = trafficFields.map((field) => field.replace(/[A-Z]/g, (one) => `_${one.toLowerCase()}`))
const names = Prisma.raw(columns.join(', '))
const typed = Prisma.raw(columns.map((column) => `${column} bigint`).join(', '))
const added = Prisma.raw(columns.map((column) => `${column} = traffic_hour.${column} + excluded.${column}`).join(', '))
const summed = Prisma.raw(columns.map((column) => `sum(${column})::bigint`).join(', '))

/** One hour or day. */
export type TrafficSum = { readonly at: Date; readonly counts: readonly number[] }

/**
 * Adds a batch to the counters, all or nothing. False: it was added before, by its sequence; nothing was done.
 * Work is in proportion to the batch's rows.
 */
export function addTraffic(db: Db, edgeId: string, batch: Omit<TrafficMessage, 'type'>): Promise<boolean> {
  return db.$transaction(async (tx) => {
    const isNew = await tx.$executeRaw`
      insert into traffic_receipt (edge_id, spool_id, sequence)
        values (${edgeId}::uuid, ${batch.spoolId}::uuid, ${batch.sequence})
      on conflict (edge_id, spool_id) do update set sequence = excluded.sequence, updated_at = now()
        where traffic_receipt.sequence < excluded.sequence`
    if (isNew === 0) return false
    const rows = rowsOf(batch.rows)
    if (rows.length > 0)
      await tx.$executeRaw`
        insert into traffic_hour (site_id, hour, ${names})
          select site_id, hour, ${names}
            from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r (site_id uuid, hour timestamptz, ${typed})
        on conflict (site_id, hour) do update set ${added}`
    return true
  })
}

/** One row for each site and hour and one for the sum, in one order for all, so that edges do not lock each other out. */
function rowsOf(rows: readonly TrafficRow[]): object[] {
  const sums = new Map<string, { siteId: string; hour: number; counts: number[] }>()
  const add = (siteId: string, { hour, counts }: TrafficRow): void => {
    const key = `${siteId} ${hour}`
    const sum = sums.get(key) ?? { siteId, hour, counts: [] }
    sums.set(key, sum)
    addCounts(sum.counts, counts)
  }
  for (const row of rows) {
    add(isUuid(row.siteId) && row.siteId !== ALL_SITES ? row.siteId : OTHER_SITE, row)
    add(ALL_SITES, row)
  }
  return [...sums.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { siteId, hour, counts }]) => ({
      site_id: siteId,
      hour: new Date(hour * HOUR_MS).toISOString(),
      ...Object.fromEntries(columns.map((column, at) => [column, counts[at] ?? 0])),
    }))
}

/** The counters of a site (or `ALL_SITES`) from `from` on and before `to`, summed by hour or day in UTC, oldest first. */
export async function sumTraffic(
  db: Db | Tx,
  siteId: string,
  range: { readonly from: Date; readonly to: Date; readonly by: 'hour' | 'day' },
): Promise<TrafficSum[]> {
  const rows = await db.$queryRaw<{ at: Date; counts: bigint[] }[]>`
    select date_trunc(${range.by}, hour, 'UTC') at, array[${summed}] counts from traffic_hour
     where site_id = ${siteId}::uuid and hour >= ${range.from} and hour < ${range.to}
     group by 1 order by 1`
  return rows.map(({ at, counts }) => ({ at, counts: counts.map(Number) }))
}

/** Deletes counters of hours before. Returns how many rows went. */
export function forgetTraffic(db: Db, before: Date, limit: number): Promise<number> {
  return db.$executeRaw`
    delete from traffic_hour where (site_id, hour) in (
      select site_id, hour from traffic_hour where hour < ${before} limit ${limit})`
}

/** Deletes receipts of spools that have sent nothing since before. Returns how many. */
export function forgetReceipts(db: Db, before: Date, limit: number): Promise<number> {
  return db.$executeRaw`
    delete from traffic_receipt where (edge_id, spool_id) in (
      select edge_id, spool_id from traffic_receipt where updated_at < ${before} limit ${limit})`
}
