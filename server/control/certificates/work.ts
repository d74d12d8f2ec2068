import type { Logger } from '../../process/log.ts'
import type { Db, Tx } from '../db.ts'
import { recordEvent } from '../events/record.ts'
import type { Vault } from '../vault.ts'
import type { Issuers } from './issuers.ts'
import { type Lease, writeHeld } from './lease.ts'
import type { AwaitAcked, DnsProofs, Preflight, RecheckBeforeOrder } from './order-run.ts'
import type { Random } from './schedule.ts'
import * as store from './store.ts'

/** Where a name leads now: to us, elsewhere, nowhere; or that could not be found out. */
export type Whereabouts = (hostnameId: string) => Promise<'here' | 'elsewhere' | 'gone' | 'unknown'>

/** What working on certificates needs. */
export type WorkerDeps = {
  readonly db: Db
  readonly vault: Vault
  readonly issuers: Issuers
  readonly log: Logger
  readonly awaitAcked: AwaitAcked
  readonly recheckBeforeOrder: RecheckBeforeOrder
  readonly preflight: Preflight
  readonly whereabouts: Whereabouts
  readonly dns: DnsProofs
  readonly now: () => Date
  readonly random: Random
}

/** One certificate under a lease. */
export type Work = WorkerDeps & { readonly lease: Lease; readonly signal: AbortSignal }

/** One transaction that is only committed while the lease is ours. Throws `LeaseLostError`. */
export function commit(work: Work, change: (tx: Tx) => Promise<unknown>): Promise<void> {
  return writeHeld(work.db, work.lease, change)
}

/** Changes the certificate's row and gives it back. */
export async function settle(work: Work, data: Parameters<typeof store.updateCertificate>[2]): Promise<void> {
  await commit(work, (tx) => store.updateCertificate(tx, work.lease.certificateId, { ...data, ...store.noLease }))
}

/** The moment `ms` from now. */
export function later(work: Work, ms: number): Date {
  return new Date(work.now().getTime() + ms)
}

/** Records an event of a certificate, in the transaction of what it tells of. */
export async function tell(
  tx: Tx,
  certificate: { readonly id: string; readonly tenantId: string; readonly names: readonly string[] },
  what: string,
  detail: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { id, tenantId, names } = certificate
  await recordEvent(tx, {
    actor: 'system',
    tenantId,
    action: `certificate.${what}`,
    subjectId: id,
    subjectName: names[0] ?? '',
    detail: { ...detail, names: [...names] },
  })
}
