import { randomUUIDv7 } from 'node:crypto'
import type { Db, Tx } from '../db.ts'

/** The only writer of the table `dns_record`. */

/** A provider is given up on within this; until then a row that is `wanted` is not removed. */
const WRITE_GRACE_SECONDS = 120
/** How often it is looked whether the order of a record is still open. */
const OPEN_CHECK_SECONDS = 60
/** What is being removed is due again after this when the process dies with it. */
const REMOVAL_LEASE_SECONDS = 120
const MAX_PROBLEM_LENGTH = 1_000

/** What a record is of. A test has an `orderId` that is no order's. */
export type RecordKey = {
  readonly providerId: string
  readonly orderId: string
  readonly hostname: string
  readonly fqdn: string
  readonly value: string
}

/** A record as it is stored. */
export type RecordRow = RecordKey & {
  readonly id: string
  readonly state: 'wanted' | 'present' | 'removing'
  readonly failures: number
  readonly problem: string | null
}

/** The row of an order's value at a provider, or null. */
export function findRecord(db: Db | Tx, { providerId, orderId, fqdn, value }: RecordKey): Promise<RecordRow | null> {
  return db.dnsRecord.findFirst({ where: { providerId, orderId, fqdn, value } })
}

/**
 * Writes that a value is about to be set (`wanted`) or was set (`present`): makes the row, or brings it
 * back from whatever state it is in. Foreign-key violation: the provider was deleted.
 */
export async function saveRecord(db: Db | Tx, key: RecordKey, state: 'wanted' | 'present'): Promise<RecordRow> {
  const { providerId, orderId, hostname, fqdn, value } = key
  const seconds = state === 'wanted' ? WRITE_GRACE_SECONDS : OPEN_CHECK_SECONDS
  const [row] = await db.$queryRaw<RecordRow[]>`
    insert into dns_record (id, provider_id, order_id, hostname, fqdn, value, state, due_at)
    values (${randomUUIDv7()}::uuid, ${providerId}::uuid, ${orderId}::uuid, ${hostname}, ${fqdn}, ${value},
            ${state}::"DnsRecordState", now() + make_interval(secs => ${seconds}))
    on conflict (provider_id, fqdn, value, order_id) do update
       set state = excluded.state, due_at = excluded.due_at, updated_at = now(),
           failures = case when dns_record.state = 'removing' then 0 else dns_record.failures end
    returning id::text, provider_id::text as "providerId", order_id::text as "orderId", hostname, fqdn, value,
              state::text, failures, problem`
  if (row === undefined) throw new Error('a row that was written did not come back')
  return row
}

/** Notes a failed try, or with null that all is well. Returns how many tries have failed in a row. */
export async function noteTry(db: Db | Tx, id: string, problem: string | null): Promise<number> {
  const [row] = await db.$queryRaw<{ failures: number }[]>`
    update dns_record
       set failures = case when ${problem}::text is null then 0 else failures + 1 end,
           problem = left(${problem}::text, ${MAX_PROBLEM_LENGTH}::int), updated_at = now()
     where id = ${id}::uuid returning failures`
  return row?.failures ?? 0
}

/** Makes the records of an order due, so that they are removed soon if it is closed. Returns how many there are. */
export function makeRecordsDue(db: Db | Tx, orderId: string): Promise<number> {
  return db.$executeRaw`
    update dns_record set due_at = now() where order_id = ${orderId}::uuid and state = 'present' and due_at > now()`
}

/**
 * Takes up to `limit` due rows, those that did not fail before first. What is taken is due again after a
 * lease, so that a process that dies with it delays it and loses nothing.
 */
export async function takeDueRecords(db: Db, limit: number): Promise<RecordRow[]> {
  return db.$queryRaw<RecordRow[]>`
    update dns_record set due_at = now() + make_interval(secs => ${REMOVAL_LEASE_SECONDS})
     where id in (
       select id from dns_record where due_at <= now()
        order by state = 'removing' and failures > 0, due_at limit ${limit} for update skip locked)
    returning id::text, provider_id::text as "providerId", order_id::text as "orderId", hostname, fqdn, value,
              state::text, failures, problem`
}

/** Puts rows off whose orders are open. */
export async function putOff(db: Db, ids: readonly string[]): Promise<void> {
  await db.$executeRaw`
    update dns_record set due_at = now() + make_interval(secs => ${OPEN_CHECK_SECONDS})
     where id = any(${[...ids]}::uuid[])`
}

/** Milliseconds until a row is due, or null without any. */
export async function msUntilDue(db: Db): Promise<number | null> {
  const [row] = await db.$queryRaw<{ ms: number | null }[]>`
    select (extract(epoch from min(due_at) - now()) * 1000)::float8 as ms from dns_record`
  return row?.ms == null ? null : Math.max(0, Math.ceil(row.ms))
}

/**
 * Begins a removal, under a lease. Returns whether the value has to go at the provider too: not while another
 * row wants the same value at the same name.
 */
export async function beginRemoval(db: Db | Tx, id: string): Promise<{ readonly isShared: boolean }> {
  const [row] = await db.$queryRaw<{ isShared: boolean }[]>`
    update dns_record r
       set state = 'removing', failures = case when state = 'removing' then failures else 0 end, updated_at = now(),
           due_at = now() + make_interval(secs => ${REMOVAL_LEASE_SECONDS})
     where id = ${id}::uuid
    returning exists (
      select 1 from dns_record other
       where other.provider_id = r.provider_id and other.fqdn = r.fqdn and other.value = r.value
         and other.id <> r.id and other.state <> 'removing') as "isShared"`
  return { isShared: row?.isShared ?? true }
}

/** Forgets a record that is gone; one that was wanted again meanwhile stays. */
export async function forgetRecord(db: Db | Tx, id: string): Promise<void> {
  await db.dnsRecord.deleteMany({ where: { id, state: 'removing' } })
}

/** Notes a failed removal; the next try is at `dueAt`. */
export async function noteFailedRemoval(tx: Tx, id: string, problem: string, dueAt: Date): Promise<void> {
  await tx.dnsRecord.updateMany({
    where: { id, state: 'removing' },
    data: { failures: { increment: 1 }, problem: problem.slice(0, MAX_PROBLEM_LENGTH), dueAt },
  })
}

/** Names at which a provider has records, or may have. */
export async function openNames(tx: Tx, providerId: string): Promise<string[]> {
  const rows = await tx.dnsRecord.findMany({ where: { providerId }, select: { fqdn: true }, distinct: ['fqdn'] })
  return rows.map(({ fqdn }) => fqdn)
}
