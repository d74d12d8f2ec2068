import type { Db } from '../db.ts'
import { windowOf } from './ask-window.ts'
import { findIssuer } from './issuer-store.ts'
import { availableAt } from './ledger.ts'
import { ordersBucket } from './ledger-store.ts'
import { limitsOf } from './limits.ts'
import { placeInQueue } from './queue.ts'
import { renewalTime } from './renewal.ts'
import type { CertificateDetailView } from './schema.ts'
import type { DetailedCertificate } from './store.ts'

/** The place of a certificate in the queue of its issuer and when its turn comes, if the limits stay; null when it does not wait. */
export async function queueOf(db: Db, row: DetailedCertificate, now: Date): Promise<CertificateDetailView['queue']> {
  if (row.queueIssuerId === null) return null
  const [position, issuer] = await Promise.all([placeInQueue(db, row.id), findIssuer(db, row.queueIssuerId)])
  if (position === null || issuer === null) return null
  const limit = limitsOf(issuer).newOrders
  if (limit === null) return { position, estimatedAt: null }
  const bucket = await ordersBucket(db, issuer.id, limit, now)
  return { position, estimatedAt: availableAt(bucket, limit, now, position).toISOString() }
}

/** When a certificate is renewed, and the window that the CA suggests; null for one that has no version or is uploaded. */
export function renewalOf(row: DetailedCertificate): CertificateDetailView['renewal'] {
  const { activeVersion: active, ariUrl } = row
  if (active === null || row.source === 'uploaded') return null
  const window = windowOf(row)
  const at = renewalTime({ ...active, renewAt: row.renewAt, window })
  const shown =
    window === null
      ? null
      : { start: window.start.toISOString(), end: window.end.toISOString(), explanationUrl: ariUrl }
  return { at: at.toISOString(), window: shown }
}
