import { type Actor, actorName, requireTenant, tenantOfCreate } from '../../auth/access.ts'
import { type Db, hint, type Tx, write } from '../../db.ts'
import { AppError, notFound } from '../../errors.ts'
import { recordEvent } from '../../events/record.ts'
import type { WriteOptions } from '../../schema.ts'
import type { Vault } from '../../vault.ts'
import type { CertificateDetailView } from '../schema.ts'
import { detailOf, findFor } from '../service.ts'
import { type DetailedCertificate, findCertificate, updateCertificate } from '../store.ts'
import { acceptUpload, inspectInput } from './accept.ts'
import type { CertificatePatchInput, CertificateUploadInput, VersionUploadInput } from './schema.ts'
import { cancelFallback, removeUploaded } from './upload-store.ts'

/** Certificates that tenants bring themselves. */
export type UploadService = {
  /** Throws CERTIFICATE_INVALID with all that is wrong. With `dryRun` nothing is stored. */
  create(actor: Actor, input: CertificateUploadInput, options: WriteOptions): Promise<CertificateDetailView>
  /** Uploads the successor onto the same certificate. Throws CERTIFICATE_INVALID, CONFLICT. */
  replace(actor: Actor, id: string, input: VersionUploadInput, options: WriteOptions): Promise<CertificateDetailView>
  update(actor: Actor, id: string, input: CertificatePatchInput, options: WriteOptions): Promise<CertificateDetailView>
  /** Goes back to ACME: it serves until each hostname has its own. Throws CONFLICT for issued ones. */
  remove(actor: Actor, id: string, options: WriteOptions): Promise<void>
}

/** Makes the service over one database. */
export function createUploadService(deps: {
  readonly db: Db
  readonly vault: Vault
  readonly now?: () => Date
}): UploadService {
  const { db, vault } = deps
  const now = deps.now ?? (() => new Date())
  return {
    async create(actor, { tenantId: asked, fallbackToAcme = true, hostnameIds, ...input }, options) {
      const tenantId = tenantOfCreate(actor, asked)
      requireTenant(actor, tenantId, 'member')
      const inspection = await inspectInput(input, now())
      const wanted = { actor, tenantId, fallbackToAcme, hostnameIds, certificateId: null }
      return write(db, options, async (tx) => view(tx, await acceptUpload(tx, vault, inspection, wanted)))
    },
    async replace(actor, id, { hostnameIds, ...input }, options) {
      const { tenantId } = uploaded(await findFor(db, actor, id, 'member'))
      const inspection = await inspectInput(input, now())
      return write(db, options, async (tx) => {
        const { fallbackToAcme } = uploaded(await find(tx, id))
        await acceptUpload(tx, vault, inspection, { actor, tenantId, fallbackToAcme, hostnameIds, certificateId: id })
        return view(tx, id)
      })
    },
    async update(actor, id, { fallbackToAcme }, options) {
      uploaded(await findFor(db, actor, id, 'member'))
      return write(db, options, async (tx) => {
        const row = uploaded(await find(tx, id))
        if (fallbackToAcme === undefined || fallbackToAcme === row.fallbackToAcme) return detailOf(row)
        await updateCertificate(tx, id, { fallbackToAcme, dueAt: new Date() })
        if (!fallbackToAcme && row.leavingAt === null) await cancelFallback(tx, id)
        await tell(tx, actor, row, 'changed', { fallbackToAcme })
        return view(tx, id)
      })
    },
    async remove(actor, id, options) {
      uploaded(await findFor(db, actor, id, 'member'))
      await write(db, options, async (tx) => {
        const row = uploaded(await find(tx, id))
        if (row.hostnames.length === 0) await removeUploaded(tx, id)
        else await updateCertificate(tx, id, { leavingAt: row.leavingAt ?? new Date(), dueAt: new Date() })
        await tell(tx, actor, row, row.hostnames.length === 0 ? 'deleted' : 'leaving', {})
      })
    },
  }
}

async function find(tx: Tx, id: string): Promise<DetailedCertificate> {
  const row = await findCertificate(tx, id)
  if (row === null) throw notFound('certificate')
  return row
}

async function view(tx: Tx, id: string): Promise<CertificateDetailView> {
  return detailOf(await find(tx, id))
}

function uploaded(row: DetailedCertificate): DetailedCertificate {
  if (row.source === 'uploaded') return row
  throw new AppError(
    'CONFLICT',
    'This certificate was issued for its hostnames and is renewed by itself. To use your own, upload it; to end it, remove the hostname.',
  )
}

async function tell(
  tx: Tx,
  actor: Actor,
  { id, tenantId, names }: DetailedCertificate,
  what: 'changed' | 'deleted' | 'leaving',
  detail: Record<string, boolean>,
): Promise<void> {
  const event = { actor: actorName(actor), tenantId, action: `certificate.${what}`, subjectId: id }
  await recordEvent(tx, { ...event, subjectName: names[0] ?? '', detail: { ...detail, names } })
  await hint(tx, 'certificates')
}
