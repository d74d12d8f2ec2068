import { createPrivateKey, randomUUIDv7 } from 'node:crypto'
import { normalizeName } from '../../../contract/names.ts'
import { type Actor, actorName, requireTenant, tenantOfCreate, visibleTenants } from '../../auth/access.ts'
import { type Db, type Tx, write } from '../../db.ts'
import { AppError, type FieldProblem, notFound } from '../../errors.ts'
import { recordEvent } from '../../events/record.ts'
import { type Paged, paged, type WriteOptions } from '../../schema.ts'
import type { Vault } from '../../vault.ts'
import type { CertificateDetailView } from '../schema.ts'
import { detailOf } from '../service.ts'
import { findCertificate } from '../store.ts'
import { acceptUpload, inspectInput } from '../uploads/accept.ts'
import { createRequestPem, generateRequestKey } from './request-key.ts'
import * as store from './request-store.ts'
import type {
  CertificateRequestCreateInput,
  CertificateRequestQueryInput,
  CertificateRequestView,
  RequestedCertificateInput,
  RequestSubject,
} from './schema.ts'

/** Making a key is work; nobody needs more requests than this at once. */
const MAX_REQUESTS = 200

/** Requests for certificates of CAs that tenants deal with themselves. The key is made here and never leaves. */
export type RequestService = {
  list(actor: Actor, query: CertificateRequestQueryInput): Promise<Paged<CertificateRequestView>>
  get(actor: Actor, id: string): Promise<CertificateRequestView>
  /** Throws INVALID_INPUT for names that cannot be served, LIMIT_REACHED. */
  create(actor: Actor, input: CertificateRequestCreateInput, options: WriteOptions): Promise<CertificateRequestView>
  /** Accepts what the CA gave; once more, it is the next version of the same certificate. Throws CERTIFICATE_INVALID. */
  accept(
    actor: Actor,
    id: string,
    input: RequestedCertificateInput,
    options: WriteOptions,
  ): Promise<CertificateDetailView>
  /** Deletes the request with its key; a certificate that was accepted for it stays. */
  remove(actor: Actor, id: string, options: WriteOptions): Promise<void>
}

/** Makes the service over one database. */
export function createRequestService(deps: {
  readonly db: Db
  readonly vault: Vault
  readonly now?: () => Date
}): RequestService {
  const { db, vault } = deps
  const now = deps.now ?? (() => new Date())
  return {
    async list(actor, query) {
      const rows = await store.pageOfRequests(db, visibleTenants(actor), query.tenantId, query)
      return paged(rows, query, viewOf)
    },
    async get(actor, id) {
      return viewOf(await findFor(db, actor, id, 'viewer'))
    },
    async create(actor, input, options) {
      const tenantId = tenantOfCreate(actor, input.tenantId)
      requireTenant(actor, tenantId, 'member')
      const names = normalized(input.names)
      const { keyType, subject = {} } = input
      const id = randomUUIDv7()
      const key = await generateRequestKey(keyType)
      const csrPem = await createRequestPem(key, keyType, names, subject)
      const keySealed = vault.seal(key.export({ type: 'pkcs8', format: 'pem' }) as string, store.requestKeyContext(id))
      return write(db, options, async (tx) => {
        if ((await store.countRequests(tx, tenantId)) >= MAX_REQUESTS)
          throw new AppError(
            'LIMIT_REACHED',
            `A tenant has at most ${MAX_REQUESTS} requests; delete those that are done.`,
          )
        const row = await store.insertRequest(tx, { id, tenantId, names, keyType, subject, csrPem, keySealed })
        await tell(tx, actor, row, 'created')
        return viewOf(row)
      })
    },
    async accept(actor, id, { fallbackToAcme = true, hostnameIds, certificatePem }, options) {
      const { tenantId, keySealed } = await findFor(db, actor, id, 'member')
      const key = createPrivateKey(vault.unseal(keySealed, store.requestKeyContext(id)).toString())
      const inspection = await inspectInput({ certificatePem }, now(), key)
      return write(db, options, async (tx) => {
        const row = await store.lockRequest(tx, id)
        if (row === null) throw notFound('certificate request')
        const present = row.certificateId === null ? null : await findCertificate(tx, row.certificateId)
        const wanted = { actor, tenantId, fallbackToAcme, hostnameIds, certificateId: present?.id ?? null }
        const certificateId = await acceptUpload(tx, vault, inspection, wanted)
        await store.saveRequested(tx, id, certificateId)
        const certificate = await findCertificate(tx, certificateId)
        if (certificate === null) throw notFound('certificate')
        return detailOf(certificate)
      })
    },
    async remove(actor, id, options) {
      await findFor(db, actor, id, 'member')
      await write(db, options, async (tx) => {
        const row = await store.lockRequest(tx, id)
        if (row === null) throw notFound('certificate request')
        await store.deleteRequest(tx, id)
        await tell(tx, actor, row, 'deleted')
      })
    },
  }
}

async function findFor(db: Db, actor: Actor, id: string, role: 'viewer' | 'member'): Promise<store.RequestRow> {
  const row = await store.findRequest(db, id)
  if (row === null) throw notFound('certificate request')
  requireTenant(actor, row.tenantId, role, 'certificate request')
  return row
}

/** ASCII, lower case, each once. */
function normalized(names: readonly string[]): string[] {
  const errors: FieldProblem[] = []
  const good = names.flatMap((name, index) => {
    const result = normalizeName(name, { wildcard: true })
    if (result.ok) return [result.name]
    errors.push({ field: `names.${index}`, detail: 'is not a name that can be served' })
    return []
  })
  if (errors.length > 0) throw new AppError('INVALID_INPUT', 'Some names cannot be in a certificate.', { errors })
  return [...new Set(good)]
}

async function tell(tx: Tx, actor: Actor, row: store.RequestRow, what: 'created' | 'deleted'): Promise<void> {
  const { id, tenantId, names } = row
  const event = { actor: actorName(actor), tenantId, action: `certificate-request.${what}`, subjectId: id }
  await recordEvent(tx, { ...event, subjectName: names[0] ?? '', detail: { names } })
}

function viewOf(row: store.RequestRow): CertificateRequestView {
  const { id, tenantId, names, keyType, csrPem, certificateId } = row
  return {
    id,
    tenantId,
    names,
    keyType: keyType as CertificateRequestView['keyType'],
    subject: row.subject as RequestSubject,
    csrPem,
    certificateId,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }
}
