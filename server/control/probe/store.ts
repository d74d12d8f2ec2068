import type { Db, Tx } from '../db.ts'
import type { ProbeStanding } from './schedule.ts'

/** A hostname whose time has come, under a lease. */
export type ClaimedProbe = {
  readonly hostnameId: string
  /** The lease: who holds it finds the row unchanged. */
  readonly leaseUntil: Date
}

/** A process that died with a probe delays it by this. */
const LEASE_MS = 60_000

/** Takes up to `limit` hostnames that are due, longest waiting first. */
export async function claimProbes(db: Db, now: Date, limit: number): Promise<ClaimedProbe[]> {
  const leaseUntil = new Date(now.getTime() + LEASE_MS)
  const rows = await db.$queryRaw<{ id: string }[]>`
    update probe_result set due_at = ${leaseUntil} where hostname_id in (
      select hostname_id from probe_result where due_at <= ${now} order by due_at limit ${limit} for update skip locked)
    returning hostname_id::text as id`
  return rows.map(({ id }) => ({ hostnameId: id, leaseUntil }))
}

/** A hostname with what should be seen of it. */
export type ProbedHostname = {
  readonly id: string
  readonly tenantId: string
  readonly siteId: string
  readonly name: string
  readonly certificateId: string
  readonly state: string
  readonly failures: number
  readonly active: string
  readonly activatedAt: Date
  readonly previous: readonly string[]
  /** The public addresses of the site's own addresses. */
  readonly dedicated: readonly string[]
}

/** A hostname that is served with a certificate; null when it is not (any more). */
export async function findProbed(db: Db, hostnameId: string): Promise<ProbedHostname | null> {
  const row = await db.hostname.findUnique({
    where: { id: hostnameId },
    select: {
      id: true,
      tenantId: true,
      siteId: true,
      name: true,
      ownershipState: true,
      probe: { select: { state: true, failures: true } },
      site: { select: { addresses: { select: { address: true, publicAddress: true } } } },
      certificate: {
        select: {
          id: true,
          activeVersionId: true,
          versions: { select: { id: true, fingerprint: true, createdAt: true }, orderBy: { id: 'desc' }, take: 20 },
          activeVersion: { select: { fingerprint: true, createdAt: true } },
        },
      },
    },
  })
  const certificate = row?.certificate
  const isServed = row?.ownershipState === 'verified' || row?.ownershipState === 'lapsed'
  if (row === null || !isServed || certificate == null || certificate.activeVersion === null) return null
  const { id, tenantId, siteId, name, probe } = row
  const previous = certificate.versions.filter((version) => version.id !== certificate.activeVersionId)
  return {
    id,
    tenantId,
    siteId,
    name,
    certificateId: certificate.id,
    state: probe?.state ?? 'waiting',
    failures: probe?.failures ?? 0,
    active: certificate.activeVersion.fingerprint,
    activatedAt: certificate.activeVersion.createdAt,
    previous: previous.map(({ fingerprint }) => fingerprint),
    dedicated: row.site.addresses.map(({ address, publicAddress }) => publicAddress ?? address),
  }
}

/** What a look left. */
export type ProbeOutcome = ProbeStanding & {
  readonly at: Date
  readonly servedFingerprint: string | null
  readonly detail: string | null
  readonly dueAt: Date
}

/**
 * Keeps what a look left. An activation meanwhile has set a time of its own, and keeps it when it is sooner. False:
 * the hostname is gone, or the look was another's.
 */
export async function saveProbe(
  tx: Tx,
  { hostnameId, leaseUntil }: ClaimedProbe,
  outcome: ProbeOutcome,
): Promise<boolean> {
  const { state, failures, at, servedFingerprint, detail, dueAt } = outcome
  const count = await tx.$executeRaw`
    update probe_result set state = ${state}::"ProbeState", failures = ${failures}, at = ${at},
        served_fingerprint = ${servedFingerprint}, detail = ${detail},
        due_at = case when due_at = ${leaseUntil} then ${dueAt} else least(due_at, ${dueAt}) end
     where hostname_id = ${hostnameId}::uuid`
  return count === 1
}

/** A hostname that is not served is looked at when it is again, which a trigger tells. */
export async function forgetProbe(db: Db, { hostnameId, leaseUntil }: ClaimedProbe): Promise<void> {
  await db.$executeRaw`
    update probe_result set state = 'waiting', failures = 0, at = null, served_fingerprint = null, detail = null,
        due_at = null
     where hostname_id = ${hostnameId}::uuid and due_at = ${leaseUntil}`
}

/** Milliseconds from `now` until a hostname is due; null when none is. */
export async function msUntilProbe(db: Db, now: Date): Promise<number | null> {
  const [row] = await db.$queryRaw<{ at: Date | null }[]>`select min(due_at) as at from probe_result`
  return row?.at == null ? null : Math.max(0, row.at.getTime() - now.getTime())
}
