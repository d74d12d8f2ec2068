import { type Db, hint, type Tx } from '../../db.ts'
import { recordEvent } from '../../events/record.ts'
import { type Lease, writeHeld } from '../lease.ts'
import { loadForWork, noLease, updateCertificate, type WorkedCertificate } from '../store.ts'
import { planUploaded, type UploadedHostname, type UploadPlan } from './expiry.ts'
import { removeUploaded, stopServing, wantFallback } from './upload-store.ts'

/** What working on an uploaded certificate needs. */
export type UploadWork = { readonly db: Db; readonly lease: Lease; readonly now: () => Date }

/**
 * Does what is due for one uploaded certificate, in one transaction under the manager's lease: warns, wants
 * ACME certificates, ends what its tenant has deleted. The row is read once it is locked, so that a take-over
 * that ends in this moment is seen or comes after. Throws `LeaseLostError` and what the database throws.
 */
export async function workOnUploaded(work: UploadWork, id: string): Promise<void> {
  await writeHeld(work.db, work.lease, async (tx) => {
    const certificate = await loadForWork(tx, id)
    if (certificate === null) return
    const { activeVersion: active, state, fallbackToAcme, expiryWarnings, leavingAt, hostnames } = certificate
    if (active === null || state === 'retired' || state === 'revoked')
      return updateCertificate(tx, id, { dueAt: null, ...noLease })
    const upload = { fallbackToAcme, expiryWarnings, isLeaving: leavingAt !== null, active, hostnames }
    await carryOut(tx, certificate, planUploaded(upload, work.now()))
  })
}

async function carryOut(tx: Tx, certificate: WorkedCertificate, plan: UploadPlan): Promise<void> {
  const { id, activeVersion: active } = certificate
  if (plan.isRemoved) {
    await removeUploaded(tx, id)
    return tell(tx, certificate, 'deleted', {})
  }
  if (plan.state === 'revoked') await stopServing(tx, active?.id ?? '')
  if (plan.warning !== null)
    await tell(tx, certificate, 'expiring', {
      notAfter: active?.notAfter.toISOString() ?? '',
      warning: plan.warning,
      fallbackToAcme: certificate.fallbackToAcme,
    })
  if (plan.state === 'expired' && certificate.state !== 'expired') await tell(tx, certificate, 'expired', {})
  await replaceBy(tx, certificate, plan.fallbackFor)
  await updateCertificate(tx, id, {
    state: plan.state,
    dueAt: plan.dueAt,
    ...(plan.warning === null ? {} : { expiryWarnings: plan.warning }),
    ...noLease,
  })
}

/** One ACME certificate for each hostname: each takes over by itself. */
async function replaceBy(
  tx: Tx,
  certificate: WorkedCertificate,
  hostnames: readonly UploadedHostname[],
): Promise<void> {
  for (const { id, name } of hostnames) {
    const nextId = await wantFallback(tx, { tenantId: certificate.tenantId, hostnameId: id, name })
    const event = { actor: 'system', tenantId: certificate.tenantId, action: 'certificate.wanted' }
    const detail = { names: [name], takesOverFrom: certificate.id }
    await recordEvent(tx, { ...event, subjectId: nextId, subjectName: name, detail })
  }
  if (hostnames.length > 0) await hint(tx, 'certificates')
}

async function tell(
  tx: Tx,
  { id, tenantId, names }: WorkedCertificate,
  what: 'expiring' | 'expired' | 'deleted',
  detail: Record<string, string | number | boolean>,
): Promise<void> {
  const event = { actor: 'system', tenantId, action: `certificate.${what}`, subjectId: id }
  await recordEvent(tx, { ...event, subjectName: names[0] ?? '', detail: { ...detail, names: [...names] } })
}
