import type { Db, Tx } from '../db.ts'
import { CHECK_LEASE_MS } from './schedule.ts'

/** Hostnames of one domain that one check takes. */
const BATCH = 500

/** What of one domain is to be looked at. */
export type DueCheck = { readonly domainId: string; readonly hostnameIds: string[]; readonly isDomainDue: boolean }

/** Slow names, whose last check waited for an answer that did not come, have places of their own. */
export type Lane = 'quick' | 'slow'

/**
 * Takes the due hostnames of at most `domains` domains, those waiting longest first. What is taken is due
 * again after a lease, so a process that dies with it delays it and loses nothing; what another
 * process is taking is passed over.
 */
export async function takeDueHostnames(db: Db | Tx, lane: Lane, domains: number, now: Date): Promise<DueCheck[]> {
  const lease = new Date(now.getTime() + CHECK_LEASE_MS)
  const isSlow = lane === 'slow'
  const rows = await db.$queryRaw<{ id: string; domainId: string }[]>`
    with waiting as (
      select domain_id from hostname
      where check_due_at <= ${now} and coalesce((check_problem->>'isSlow')::boolean, false) = ${isSlow}
      group by domain_id order by min(check_due_at) limit ${domains}
    ), due as (
      select id from hostname
      where domain_id in (select domain_id from waiting) and check_due_at <= ${now}
        and coalesce((check_problem->>'isSlow')::boolean, false) = ${isSlow}
      order by check_due_at limit ${BATCH} for update skip locked
    )
    update hostname h set check_due_at = ${lease} from due where h.id = due.id
    returning h.id::text, h.domain_id::text as "domainId"`
  const checks = new Map<string, DueCheck>()
  for (const { id, domainId } of rows) {
    const check = checks.get(domainId) ?? { domainId, hostnameIds: [], isDomainDue: false }
    check.hostnameIds.push(id)
    checks.set(domainId, check)
  }
  return [...checks.values()]
}

/** Takes domains whose own record is due, in the same manner. */
export async function takeDueDomains(db: Db, domains: number, now: Date): Promise<DueCheck[]> {
  const lease = new Date(now.getTime() + CHECK_LEASE_MS)
  const rows = await db.$queryRaw<{ id: string }[]>`
    with due as (
      select id from domain where check_due_at <= ${now} order by check_due_at limit ${domains} for update skip locked
    )
    update domain d set check_due_at = ${lease} from due where d.id = due.id returning d.id::text`
  return rows.map(({ id }) => ({ domainId: id, hostnameIds: [], isDomainDue: true }))
}

/** Makes what was taken due at `at`: its check failed on our side, and need not wait for the end of the lease. */
export async function makeDueAgain(db: Db, { domainId, hostnameIds, isDomainDue }: DueCheck, at: Date): Promise<void> {
  await db.$executeRaw`
    update hostname set check_due_at = ${at} where id = any(${hostnameIds}::uuid[]) and check_due_at > ${at}`
  if (isDomainDue) await db.$executeRaw`update domain set check_due_at = ${at} where id = ${domainId}::uuid`
}

/** When the next check of a lane is due, or null. Domains count as quick. */
export async function nextDue(db: Db | Tx, lane: Lane): Promise<Date | null> {
  const isSlow = lane === 'slow'
  const [row] = await db.$queryRaw<{ at: Date | null }[]>`
    select least(
      (select min(check_due_at) from hostname where coalesce((check_problem->>'isSlow')::boolean, false) = ${isSlow}),
      (select min(check_due_at) from domain where not ${isSlow})
    ) as at`
  return row?.at ?? null
}
