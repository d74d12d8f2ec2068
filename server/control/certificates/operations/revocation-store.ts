import { createHash, X509Certificate } from 'node:crypto'
import type { Db, Tx } from '../../db.ts'
import type { Prisma } from '../../generated/client.ts'

const withCertificate = {
  certificate: { select: { id: true, tenantId: true, names: true, source: true, activeVersionId: true } },
} as const satisfies Prisma.CertificateVersionInclude

/** A version with the certificate that it belongs to; its key is sealed. */
export type RevocableVersion = Prisma.CertificateVersionGetPayload<{ include: typeof withCertificate }>

/** One version of a certificate, or null. */
export function findVersion(db: Db | Tx, id: string): Promise<RevocableVersion | null> {
  return db.certificateVersion.findUnique({ where: { id }, include: withCertificate })
}

/** All versions of a certificate, the newest first. */
export function versionsOf(tx: Tx, certificateId: string): Promise<RevocableVersion[]> {
  const orderBy = [{ createdAt: 'desc' as const }, { id: 'desc' as const }]
  return tx.certificateVersion.findMany({ where: { certificateId }, orderBy, include: withCertificate })
}

/** Locks a certificate until the transaction ends, so that revocations, roll-backs and activations follow each other. */
export async function lockCertificate(tx: Tx, id: string): Promise<void> {
  await tx.$executeRaw`select id from certificate where id = ${id}::uuid for update`
}

/** Remembers that a version's revocation is wanted: from now on it is replaced and never activated again. */
export async function wantRevocation(tx: Tx, versionId: string): Promise<void> {
  await tx.certificateVersion.update({ where: { id: versionId }, data: { revocationWantedAt: new Date() } })
}

/** Bars the key of a version for ever. */
export async function barKey(tx: Tx, { chainPem, certificateId }: RevocableVersion): Promise<void> {
  const spkiFingerprint = keyFingerprint(chainPem)
  await tx.barredKey.createMany({ data: [{ spkiFingerprint, certificateId }], skipDuplicates: true })
}

/** SHA-256 of the SubjectPublicKeyInfo of a chain's leaf, hex, lower case. */
export function keyFingerprint(chainPem: string): string {
  const { publicKey } = new X509Certificate(chainPem)
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')
}

/**
 * After the CA was told: the version is served no more, unless it is the active one of a certificate that
 * hostnames use, which waits for its successor. A certificate that nothing uses is `revoked` with its active version.
 */
export async function markRevoked(tx: Tx, versionId: string): Promise<void> {
  await tx.$executeRaw`
    update certificate_version v set revoked_at = now()
     where id = ${versionId}::uuid and revoked_at is null
       and not exists (select from certificate c join hostname h on h.certificate_id = c.id
                        where c.active_version_id = v.id)`
  await tx.$executeRaw`
    update certificate c set state = 'revoked', due_at = null, updated_at = now()
     where active_version_id = ${versionId}::uuid and state <> 'revoked'
       and not exists (select from hostname h where h.certificate_id = c.id)`
}

/** Ownership states of the hostnames that use a certificate. */
export async function usersOf(tx: Tx, certificateId: string): Promise<{ name: string; ownershipState: string }[]> {
  return tx.hostname.findMany({ where: { certificateId }, select: { name: true, ownershipState: true } })
}
