import type { Tx } from '../db.ts'

/**
 * For the activation of a version, in its transaction: hostnames that waited for this certificate use it now,
 * and the versions whose revocation was asked for are served no more. Whatever served those hostnames
 * before is looked at by the manager at once.
 */
export async function takeOver(tx: Tx, certificateId: string, versionId: string): Promise<void> {
  await tx.$executeRaw`
    update certificate_version set revoked_at = now()
     where certificate_id = ${certificateId}::uuid and id <> ${versionId}::uuid
       and revocation_wanted_at is not null and revoked_at is null`
  await tx.$executeRaw`
    update certificate set due_at = now()
     where source = 'uploaded'
       and id in (select certificate_id from hostname where next_certificate_id = ${certificateId}::uuid)`
  await tx.$executeRaw`
    update hostname set certificate_id = next_certificate_id, next_certificate_id = null, updated_at = now()
     where next_certificate_id = ${certificateId}::uuid`
}
