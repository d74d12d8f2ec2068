import { randomUUIDv7 } from 'node:crypto'
import type { Db, Tx } from '../../db.ts'
import { noLease, noProblem, retire, updateCertificate } from '../store.ts'
import type { VerifiedChain } from '../verify.ts'

/** A hostname that an upload may cover. */
export type CoverableHostname = {
  readonly id: string
  readonly name: string
  readonly certificateId: string | null
  readonly nextCertificateId: string | null
}

/** What is written of an upload. The key is sealed under `certificateKeyContext`. */
export type UploadedMaterial = { readonly chain: VerifiedChain; readonly keySealed: Uint8Array<ArrayBuffer> }

/** Whether a certificate was uploaded. */
export async function isUploaded(tx: Tx, id: string): Promise<boolean> {
  const row = await tx.certificate.findUnique({ where: { id }, select: { source: true } })
  return row?.source === 'uploaded'
}

/** The tenant's own proven hostnames, locked in one order, so that two uploads never take the same one at once. */
export function lockProvenHostnames(tx: Tx, tenantId: string): Promise<CoverableHostname[]> {
  return tx.$queryRaw<CoverableHostname[]>`
    select id::text, name, certificate_id::text as "certificateId", next_certificate_id::text as "nextCertificateId"
      from hostname where tenant_id = ${tenantId}::uuid and ownership_state = 'verified' order by id for update`
}

/** Whether a key is barred for ever, by the SHA-256 of its SubjectPublicKeyInfo. */
export async function isBarred(db: Db | Tx, spkiFingerprint: string): Promise<boolean> {
  return (await db.barredKey.findUnique({ where: { spkiFingerprint } })) !== null
}

/** The certificate that has a version with this fingerprint, or null. */
export async function findByFingerprint(
  tx: Tx,
  fingerprint: string,
): Promise<{ certificateId: string; versionId: string; tenantId: string; isRevoked: boolean } | null> {
  const row = await tx.certificateVersion.findUnique({
    where: { fingerprint },
    select: { id: true, revocationWantedAt: true, certificate: { select: { id: true, tenantId: true } } },
  })
  if (row === null) return null
  const { id, revocationWantedAt, certificate } = row
  const isRevoked = revocationWantedAt !== null
  return { certificateId: certificate.id, versionId: id, tenantId: certificate.tenantId, isRevoked }
}

/** Makes the row of a new uploaded certificate, without a version yet. */
export async function insertUploaded(
  tx: Tx,
  row: { readonly tenantId: string; readonly names: readonly string[]; readonly fallbackToAcme: boolean },
): Promise<string> {
  const { tenantId, names, fallbackToAcme } = row
  const id = randomUUIDv7()
  const data = { id, tenantId, names: [...names], fallbackToAcme, source: 'uploaded' as const, dueAt: null }
  await tx.certificate.create({ data })
  return id
}

/** Adds the version and makes it the active one; the manager plans its expiry at once. */
export async function activateUploaded(tx: Tx, certificateId: string, material: UploadedMaterial): Promise<void> {
  const { chain, keySealed } = material
  const { fingerprint, serial, chainPem, keyAlgorithm, notBefore, notAfter } = chain
  const names = [...chain.names]
  const data = { certificateId, fingerprint, serial, names, keyAlgorithm, chainPem, keySealed, notBefore, notAfter }
  const { id } = await tx.certificateVersion.create({ data })
  await useVersion(tx, certificateId, id, names)
}

/** Makes a version that is there the active one of an uploaded certificate. */
export async function useVersion(
  tx: Tx,
  certificateId: string,
  activeVersionId: string,
  names: string[],
): Promise<void> {
  await updateCertificate(tx, certificateId, {
    activeVersionId,
    names,
    state: 'valid',
    dueAt: new Date(),
    expiryWarnings: 0,
    leavingAt: null,
    ...noProblem,
    ...noLease,
  })
}

/**
 * Points hostnames at an uploaded certificate. ACME certificates that nothing uses then are retired;
 * uploaded ones stay.
 */
export async function useUploaded(
  tx: Tx,
  certificateId: string,
  hostnames: readonly CoverableHostname[],
): Promise<void> {
  const ids = hostnames.map(({ id }) => id)
  await tx.hostname.updateMany({ where: { id: { in: ids } }, data: { certificateId, nextCertificateId: null } })
  const before = new Set(hostnames.flatMap((row) => [row.certificateId, row.nextCertificateId]))
  for (const id of before) if (id !== null && id !== certificateId) await retireUnused(tx, id)
}

async function retireUnused(tx: Tx, id: string): Promise<void> {
  const where = { OR: [{ certificateId: id }, { nextCertificateId: id }] }
  if ((await tx.hostname.count({ where })) === 0 && !(await isUploaded(tx, id))) await retire(tx, id)
}

/** Wants an ACME certificate that takes over one hostname when it is issued. Returns its id. */
export async function wantFallback(
  tx: Tx,
  hostname: { readonly tenantId: string; readonly hostnameId: string; readonly name: string },
): Promise<string> {
  const { tenantId, hostnameId, name } = hostname
  const id = randomUUIDv7()
  await tx.certificate.create({ data: { id, tenantId, names: [name] } })
  await tx.hostname.update({ where: { id: hostnameId }, data: { nextCertificateId: id } })
  return id
}

/** Deletes an uploaded certificate with its keys. */
export async function removeUploaded(tx: Tx, id: string): Promise<void> {
  await tx.certificate.delete({ where: { id } })
}

/** A version is served no more: it is revoked. */
export async function stopServing(tx: Tx, versionId: string): Promise<void> {
  await tx.certificateVersion.updateMany({ where: { id: versionId, revokedAt: null }, data: { revokedAt: new Date() } })
}

/** Gives up the ACME certificates that were to take over from this one. */
export async function cancelFallback(tx: Tx, certificateId: string): Promise<void> {
  const where = { certificateId, nextCertificateId: { not: null } }
  for (const { nextCertificateId } of await tx.hostname.findMany({ where, select: { nextCertificateId: true } }))
    if (nextCertificateId !== null) await retire(tx, nextCertificateId)
}
