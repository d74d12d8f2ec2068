import { type Db, type Tx, write } from '../db.ts'

/** A holder that does not renew for this long is taken for dead. */
const LEASE_SECONDS = 20

/** The right to work on one certificate. */
export type Lease = {
  readonly certificateId: string
  readonly holder: string
  readonly fence: bigint
  /** It failed before. */
  readonly isFailing: boolean
}

/** Somebody else works on the certificate now, or it was retired: whatever was done here is not written. */
export class LeaseLostError extends Error {
  override name = 'LeaseLostError'
}

/** How many may be taken: of all, and of those that failed before. */
export type ClaimLimits = { readonly all: number; readonly failing: number }

/**
 * Takes due certificates that nobody works on. Those that did not fail before go first, and those
 * that did are never more than their share, so that many broken names never delay a new one. Each
 * question reads as many rows of an index as it takes.
 */
export async function claimDue(db: Db | Tx, holder: string, limits: ClaimLimits): Promise<Lease[]> {
  const fresh = await claim(db, holder, limits.all, false)
  const left = Math.min(limits.failing, limits.all - fresh.length)
  return left <= 0 ? fresh : [...fresh, ...(await claim(db, holder, left, true))]
}

async function claim(db: Db | Tx, holder: string, limit: number, isFailing: boolean): Promise<Lease[]> {
  const rows = await db.$queryRaw<{ id: string; fence: bigint; failures: number }[]>`
    update certificate
       set lease_holder = ${holder}::uuid,
           lease_expires_at = now() + make_interval(secs => ${LEASE_SECONDS}),
           lease_fence = lease_fence + 1
     where id in (
       select id from certificate
        where (failures > 0) = ${isFailing} and due_at <= now() and (lease_expires_at is null or lease_expires_at < now())
        order by due_at
        limit ${limit}
          for update skip locked)
    returning id, lease_fence as fence, failures`
  return rows.map(({ id, fence, failures }) => ({ certificateId: id, holder, fence, isFailing: failures > 0 }))
}

/**
 * Milliseconds until a certificate is due that nobody works on; null when there is none. Looks at the
 * earliest rows alone, so that it costs the same with any number of certificates.
 */
export async function msUntilDue(db: Db | Tx): Promise<number | null> {
  const [row] = await db.$queryRaw<{ ms: number | null }[]>`
    select (extract(epoch from min(greatest(due_at, coalesce(lease_expires_at, due_at))) - now()) * 1000)::float8 as ms
      from (select due_at, lease_expires_at from certificate where due_at is not null order by due_at limit 100) earliest`
  return row?.ms == null ? null : Math.max(0, Math.ceil(row.ms))
}

/**
 * The first statement of each write under a lease: renews it and locks the row until the transaction
 * ends. Throws `LeaseLostError` when the lease is not the caller's any more.
 */
export async function holdLease(tx: Tx, lease: Lease): Promise<void> {
  const held = await tx.$executeRaw`
    update certificate set lease_expires_at = now() + make_interval(secs => ${LEASE_SECONDS})
     where id = ${lease.certificateId}::uuid and lease_holder = ${lease.holder}::uuid and lease_fence = ${lease.fence}`
  if (held !== 1) throw new LeaseLostError(`the lease on certificate ${lease.certificateId} is lost`)
}

/** One transaction that is only committed while the lease is the caller's. Throws `LeaseLostError`. */
export async function writeHeld(db: Db, lease: Lease, work: (tx: Tx) => Promise<unknown>): Promise<void> {
  await write(db, {}, async (tx) => {
    await holdLease(tx, lease)
    await work(tx)
  })
}

/** Gives the certificate back; it stays due if it was. Does nothing when the lease is lost. */
export async function releaseLease(db: Db, lease: Lease): Promise<void> {
  await db.$executeRaw`
    update certificate set lease_holder = null, lease_expires_at = null
     where id = ${lease.certificateId}::uuid and lease_holder = ${lease.holder}::uuid and lease_fence = ${lease.fence}`
}

/**
 * Frees what `holder` held when it died. Only for the start of that very holder, while nobody else can
 * be it (the lock on its data directory): its orders go on at once instead of when the lease ends.
 */
export async function releaseLeasesOf(db: Db, holder: string): Promise<number> {
  return db.$executeRaw`
    update certificate set lease_holder = null, lease_expires_at = null where lease_holder = ${holder}::uuid`
}
