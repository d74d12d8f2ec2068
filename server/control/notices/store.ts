import type { Db, Tx } from '../db.ts'
import { operatorCodes } from './audience.ts'
import type { NoticePlan, WatchedCertificate } from './plan.ts'
import type { PlatformTrouble, PlatformWatchRow } from './platform-plan.ts'

/** A certificate that is due for a look, with what a notice tells of it. */
export type DueWatch = WatchedCertificate & {
  readonly id: string
  readonly tenantId: string
  readonly names: readonly string[]
  readonly reason: string | null
}

type Row = Omit<DueWatch, 'active' | 'lostNames'> & {
  readonly notBefore: Date | null
  readonly notAfter: Date | null
  readonly lostNames: string[] | null
}

/**
 * Takes up to `limit` certificates that are due, until the transaction ends; another process passes them over. A
 * change of one that comes meanwhile waits for the end, and makes it due again.
 */
export async function takeDueWatches(tx: Tx, now: Date, limit: number): Promise<DueWatch[]> {
  const due = await tx.$queryRaw<{ id: string }[]>`
    select certificate_id::text as id from certificate_watch
     where due_at <= ${now} order by due_at limit ${limit} for update skip locked`
  if (due.length === 0) return []
  const rows = await tx.$queryRaw<Row[]>`
    select c.id::text, c.tenant_id::text as "tenantId", c.source::text, c.state::text, c.names,
      c.problem ->> 'code' as "problemCode", c.problem ->> 'detail' as reason,
      v.not_before as "notBefore", v.not_after as "notAfter",
      w.trouble_since as "troubleSince", coalesce(w.noticed, '{}') as noticed,
      exists (select from notice n where n.certificate_id = c.id and n.told_at is not null
        and n.kind <> 'recovered' and n.created_at >= w.trouble_since) as "wasTold",
      case when c.state = 'retired' then array(
        select h.name from hostname h where h.tenant_id = c.tenant_id and h.name = any (c.names)
          and (h.certificate_id = c.id or (h.certificate_id is null and h.ownership_state <> 'verified')))
      end as "lostNames"
    from certificate_watch w join certificate c on c.id = w.certificate_id
      left join certificate_version v on v.id = c.active_version_id
    where w.certificate_id = any (${due.map(({ id }) => id)}::uuid[])
    order by c.id`
  return rows.map(({ notBefore, notAfter, lostNames, ...row }) => ({
    ...row,
    lostNames: lostNames ?? [],
    active: notBefore === null || notAfter === null ? null : { notBefore, notAfter },
  }))
}

/** Keeps the plans of certificates; one that has nothing to remember is forgotten. */
export async function saveWatches(tx: Tx, plans: readonly (NoticePlan & { readonly id: string })[]): Promise<void> {
  const isEmpty = ({ dueAt, noticed, troubleSince }: NoticePlan) =>
    dueAt === null && noticed.length === 0 && troubleSince === null
  const gone = plans.filter(isEmpty).map(({ id }) => id)
  const kept = plans
    .filter((plan) => !isEmpty(plan))
    .map(({ id, dueAt, troubleSince, noticed }) => ({ id, due_at: dueAt, trouble_since: troubleSince, noticed }))
  if (gone.length > 0) await tx.$executeRaw`delete from certificate_watch where certificate_id = any (${gone}::uuid[])`
  await tx.$executeRaw`
    update certificate_watch w set due_at = v.due_at, trouble_since = v.trouble_since,
        noticed = array(select jsonb_array_elements_text(v.noticed))
      from jsonb_to_recordset(${JSON.stringify(kept)}::jsonb)
        as v(id uuid, due_at timestamptz, trouble_since timestamptz, noticed jsonb)
     where w.certificate_id = v.id`
}

/** A notice that nobody was told of yet. `tenantId` null: for the platform's admins. */
export type NewNotice = {
  readonly tenantId: string | null
  readonly certificateId: string | null
  readonly subject: string
  readonly kind: string
  readonly reason: string | null
  readonly notAfter: Date | null
  readonly createdAt: Date
}

/** Notes what somebody is to be told. */
export async function insertNotices(tx: Tx, notices: readonly NewNotice[]): Promise<void> {
  if (notices.length > 0) await tx.notice.createMany({ data: notices.map((notice) => ({ ...notice })) })
}

/** Takes back what nobody was told of these certificates. */
export async function withdrawNotices(tx: Tx, certificateIds: readonly string[]): Promise<void> {
  if (certificateIds.length === 0) return
  await tx.notice.deleteMany({ where: { certificateId: { in: [...certificateIds] }, toldAt: null } })
}

/** One tenant's notices that were taken for a mail. */
export type TakenNotice = NewNotice & { readonly id: string }

/** Whose oldest untold notice is from before: ids of tenants that are not suspended, null for the platform. */
export async function tenantsToTell(db: Db, before: Date, limit: number): Promise<(string | null)[]> {
  const rows = await db.$queryRaw<{ tenantId: string | null }[]>`
    select n.tenant_id::text as "tenantId" from notice n left join tenant t on t.id = n.tenant_id
     where n.told_at is null and (t.state = 'active' or n.tenant_id is null)
     group by n.tenant_id having min(n.created_at) <= ${before} limit ${limit}`
  return rows.map(({ tenantId }) => tenantId)
}

/** Takes all untold notices of a tenant (null: of the platform) and keeps that they are told; none if another process does. */
export async function takeUntold(tx: Tx, tenantId: string | null, now: Date): Promise<TakenNotice[]> {
  const rows = await tx.$queryRaw<{ id: string }[]>`
    select id::text from notice where tenant_id is not distinct from ${tenantId}::uuid and told_at is null
     order by id for update skip locked`
  const ids = rows.map(({ id }) => id)
  await tx.notice.updateMany({ where: { id: { in: ids } }, data: { toldAt: now } })
  return tx.notice.findMany({ where: { id: { in: ids } }, orderBy: { id: 'asc' } })
}

/** Who is written to: a tenant's owners and members who may sign in; admins for the platform and its own tenant. */
export async function findRecipients(tx: Tx, tenantId: string | null): Promise<{ name: string; emails: string[] }> {
  const tenant = tenantId === null ? null : await tx.tenant.findUnique({ where: { id: tenantId } })
  const isPlatform = tenant === null || tenant.isSystem
  const users = await tx.user.findMany({
    where: {
      disabledAt: null,
      ...(isPlatform
        ? { platformRole: 'admin' }
        : { memberships: { some: { tenantId: tenant.id, role: { in: ['owner', 'member'] } } } }),
    },
    select: { email: true },
    orderBy: { email: 'asc' },
  })
  return { name: tenant?.name ?? '', emails: users.map(({ email }) => email) }
}

/** Any fixed number: one process at a time looks at the platform. */
const PLATFORM_LOCK = 7_283_050

/** The kept troubles of the platform, for the one process whose turn it is; null for the others. */
export async function takePlatformWatches(tx: Tx): Promise<PlatformWatchRow[] | null> {
  const [row] = await tx.$queryRaw<{ isMine: boolean }[]>`
    select pg_try_advisory_xact_lock(${PLATFORM_LOCK}::bigint) as "isMine"`
  return row?.isMine === true ? tx.platformWatch.findMany() : null
}

/** Keeps and forgets troubles of the platform. */
export async function savePlatformWatches(
  tx: Tx,
  keep: readonly PlatformWatchRow[],
  drop: readonly string[],
): Promise<void> {
  await tx.platformWatch.deleteMany({ where: { key: { in: [...drop] } } })
  for (const row of keep)
    await tx.platformWatch.upsert({ where: { key: row.key }, create: { ...row }, update: { ...row } })
}

/** The lowest UUIDv7 of a moment (RFC 9562 section 5.7). */
function firstIdOf(moment: Date): string {
  const hex = moment.getTime().toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`
}

/**
 * Issuers at which certificates fail for reasons of the issuer or of its set-up, and that issued nothing since `since`
 * (at most a day before now). `names` is how many certificates wait.
 */
export async function findFailingIssuers(
  tx: Tx,
  since: Date,
): Promise<(Pick<PlatformTrouble, 'key' | 'subject'> & { readonly reason: string; readonly waiting: number })[]> {
  const dayBefore = firstIdOf(new Date(since.getTime() - 86_400_000))
  return tx.$queryRaw`
    select 'issuer:' || i.id as key, i.name as subject, max(c.problem ->> 'detail') as reason,
        count(*)::int as waiting
      from certificate c join issuer i on i.id = c.issuer_id
     where c.state in ('failing', 'paused', 'expired') and c.problem ->> 'code' = any (${[...operatorCodes]}::text[])
       and i.id not in (select o.issuer_id from "order" o
         where o.id >= ${dayBefore}::uuid and o.state = 'valid' and o.updated_at >= ${since})
     group by i.id, i.name`
}

/** Deletes notices from before. Returns how many. */
export function forgetNotices(db: Db, before: Date, limit: number): Promise<number> {
  return db.$executeRaw`
    delete from notice where id in (
      select id from notice where id < ${firstIdOf(before)}::uuid order by id limit ${limit})`
}
