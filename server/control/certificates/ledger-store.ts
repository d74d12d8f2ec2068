import { createHash } from 'node:crypto'
import { getDomain } from 'tldts'
import type { Db, Tx } from '../db.ts'
import { availableAt, type Bucket, blocked, fullBucket, refilled, refunded, spent } from './ledger.ts'
import type { IssuerLimits, Limit, LimitName } from './limits.ts'

/** One bucket of an issuer. */
export type BucketKey = { readonly limit: LimitName; readonly key: string }

/** What an order for these names spends at once; failures are spent when they happen. */
export function spentByOrder(names: readonly string[]): BucketKey[] {
  const domains = new Set(names.map(registeredDomain))
  return [
    ...[...domains].sort().map((key) => ({ limit: 'certificatesPerDomain', key }) as const),
    { limit: 'certificatesPerSet', key: setKey(names) },
    { limit: 'newOrders', key: '' },
  ]
}

/** The key by which CAs count an exact set of names, whatever their order is. */
export function setKey(names: readonly string[]): string {
  const text = [...new Set(names.map((name) => name.toLowerCase()))].sort().join(',')
  return createHash('sha256').update(text).digest('base64url')
}

/** The registered domain (public suffix and one label) that CAs count by; private suffixes are boundaries for them too. */
export function registeredDomain(name: string): string {
  const plain = name.replace(/^\*\./, '')
  return getDomain(plain, { allowPrivateDomains: true }) ?? plain
}

/** Why nothing was spent: the limit that has nothing left, and when it has again. */
export type Exhausted = BucketKey & { readonly until: Date }

/**
 * Spends one token of each bucket that has a limit, or none at all. The rows are locked until the
 * transaction ends, always in the same order.
 */
export async function spendAll(
  tx: Tx,
  issuerId: string,
  limits: IssuerLimits,
  keys: readonly BucketKey[],
  now: Date,
): Promise<Exhausted | null> {
  const rows: { readonly item: BucketKey; readonly bucket: Bucket }[] = []
  let exhausted: Exhausted | null = null
  for (const item of keys) {
    const limit = limits[item.limit]
    if (limit === null) continue
    const present = await lockBucket(tx, issuerId, item, fullBucket(limit, now))
    const bucket = spent(present, limit, now)
    if (bucket !== null) rows.push({ item, bucket })
    else if (exhausted === null) exhausted = { ...item, until: availableAt(present, limit, now) }
  }
  if (exhausted !== null) return exhausted
  for (const { item, bucket } of rows) await saveBucket(tx, issuerId, item, bucket)
  return null
}

/** Counts one failed validation of a name. */
export async function spendFailure(
  tx: Tx,
  issuerId: string,
  limits: IssuerLimits,
  name: string,
  now: Date,
): Promise<void> {
  const limit = limits.failuresPerName
  if (limit === null) return
  const item = { limit: 'failuresPerName', key: name } as const
  const present = refilled(await lockBucket(tx, issuerId, item, fullBucket(limit, now)), limit, now)
  await saveBucket(tx, issuerId, item, { ...present, tokens: Math.max(0, present.tokens - 1) })
}

/** Gives back what an order has spent: what counts certificates, since none was issued; its place among the orders when the CA never saw it. */
export async function refundOrder(
  tx: Tx,
  issuerId: string,
  limits: IssuerLimits,
  order: { readonly names: readonly string[]; readonly url: string | null },
  now: Date,
): Promise<void> {
  for (const item of spentByOrder(order.names)) {
    const limit = limits[item.limit]
    if (limit === null || (item.limit === 'newOrders' && order.url !== null)) continue
    const present = await lockBucket(tx, issuerId, item, fullBucket(limit, now))
    await saveBucket(tx, issuerId, item, refunded(present, limit, now))
  }
}

/** Keeps what the CA said of a limit: nothing is spent of it before. */
export async function block(tx: Tx, issuerId: string, item: BucketKey, until: Date, now: Date): Promise<void> {
  await saveBucket(tx, issuerId, item, blocked(until, now))
}

/** The bucket of the account's orders, as it is now. */
export async function ordersBucket(db: Db | Tx, issuerId: string, limit: Limit, now: Date): Promise<Bucket> {
  const where = { issuerId_limit_key: { issuerId, limit: 'newOrders', key: '' } }
  return refilled((await db.rateLimitBucket.findUnique({ where })) ?? fullBucket(limit, now), limit, now)
}

/** The bucket of failed validations of a name, as it is now. */
export async function failuresBucket(tx: Tx, issuerId: string, limit: Limit, name: string, now: Date): Promise<Bucket> {
  const present = await lockBucket(tx, issuerId, { limit: 'failuresPerName', key: name }, fullBucket(limit, now))
  return refilled(present, limit, now)
}

/** Deletes buckets that have long been full again. Returns how many went. */
export async function forgetBuckets(db: Db, before: Date, limit: number): Promise<number> {
  return db.$executeRaw`
    delete from rate_limit_bucket where ctid = any(array(
      select ctid from rate_limit_bucket
       where updated_at < ${before} and (blocked_until is null or blocked_until < ${before}) limit ${limit}))`
}

/** The bucket's row, locked; a full one is made where there is none, so that two that come first do not both find it full. */
async function lockBucket(tx: Tx, issuerId: string, { limit, key }: BucketKey, full: Bucket): Promise<Bucket> {
  const rows = await tx.$queryRaw<Bucket[]>`
    insert into rate_limit_bucket (issuer_id, "limit", key, tokens, updated_at)
      values (${issuerId}::uuid, ${limit}, ${key}, ${full.tokens}, ${full.updatedAt})
    on conflict (issuer_id, "limit", key) do update set tokens = rate_limit_bucket.tokens
    returning tokens, updated_at as "updatedAt", blocked_until as "blockedUntil"`
  return rows[0] ?? full
}

async function saveBucket(tx: Tx, issuerId: string, { limit, key }: BucketKey, bucket: Bucket): Promise<void> {
  const { tokens, updatedAt, blockedUntil } = bucket
  await tx.rateLimitBucket.upsert({
    where: { issuerId_limit_key: { issuerId, limit, key } },
    create: { issuerId, limit, key, tokens, updatedAt, blockedUntil },
    update: { tokens, updatedAt, blockedUntil },
  })
}
