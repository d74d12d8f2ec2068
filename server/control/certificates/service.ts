import { type Actor, actorName, requireTenant, visibleTenants } from '../auth/access.ts'
import { type Db, hint, type Tx, write } from '../db.ts'
import { AppError, notFound } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import { type Page, type Paged, paged, type WriteOptions } from '../schema.ts'
import type { Vault } from '../vault.ts'
import { createOrder } from './begin.ts'
import { chooseIssuer } from './choose-issuer.ts'
import { isPubliclyTrusted } from './issuer-service.ts'
import { allIssuers, type IssuerRow } from './issuer-store.ts'
import { otherOperation } from './operations/view.ts'
import type { DnsProofs } from './order-run.ts'
import { plannedIssuerOf, plannedOf } from './planned.ts'
import { limitProblem } from './problems.ts'
import type { CertificateDetailView, CertificateQueryInput, CertificateView, OperationView } from './schema.ts'
import * as store from './store.ts'
import { isUploaded } from './uploads/upload-store.ts'
import { queueOf, renewalOf } from './waiting.ts'

/** Certificates as tenants see them. */
export type CertificateService = {
  list(actor: Actor, query: CertificateQueryInput & Page): Promise<Paged<CertificateView>>
  get(actor: Actor, id: string): Promise<CertificateDetailView>
  /** Orders a new certificate now; the answer is the order that does it, an open one if there is one. Throws CONFLICT, ISSUER_INVALID. */
  renew(actor: Actor, id: string, options: WriteOptions): Promise<OperationView>
  operation(actor: Actor, id: string): Promise<OperationView>
}

/** Makes the service over one database. */
export function createCertificateService(deps: {
  readonly db: Db
  readonly vault: Vault
  readonly dns: DnsProofs
}): CertificateService {
  const { db, vault, dns } = deps
  return {
    async list(actor, query) {
      const rows = await store.pageOfCertificates(db, visibleTenants(actor), query, query)
      return paged(rows, query, viewOf)
    },
    async get(actor, id) {
      const row = await findFor(db, actor, id, 'viewer')
      return { ...detailOf(row), queue: await queueOf(db, row, new Date()) }
    },
    async renew(actor, id, options) {
      const row = await findFor(db, actor, id, 'member')
      return write(db, options, async (tx) => {
        const issuer = await issuerForRenewal(tx, dns, row)
        // Locks the row first: the manager's look at open orders and ours never cross.
        await store.updateCertificate(tx, id, { dueAt: new Date(), heldUntil: null })
        const orderId = await orderNow(tx, vault, row, issuer)
        await hint(tx, 'certificates')
        const event = { actor: actorName(actor), tenantId: row.tenantId, action: 'certificate.renewal-asked' }
        await recordEvent(tx, { ...event, subjectId: id, subjectName: row.names[0] ?? '' })
        return { id: orderId, state: 'running' }
      })
    },
    async operation(actor, id) {
      const order = await store.findOrder(db, id)
      if (order === null) return otherOperation(db, actor, id)
      requireTenant(actor, order.certificate.tenantId, 'viewer', 'operation')
      return operationOf(order)
    },
  }
}

/**
 * For the domains' side, in its transaction: nothing uses the certificate any more. It is not ordered
 * again, its open order ends, the edges forget it.
 */
export async function retireCertificate(tx: Tx, certificateId: string): Promise<void> {
  // An uploaded one may serve other hostnames, and goes only when its tenant says so.
  if (await isUploaded(tx, certificateId)) return
  if (await store.retire(tx, certificateId)) await hint(tx, 'certificates')
}

/** For `POST /hostnames/{id}/check`: a certificate that is wanted, failing or paused is tried at once; one that is fine is left alone. */
export async function retryNow(tx: Tx, certificateId: string): Promise<void> {
  if (await store.wakeCertificate(tx, certificateId)) await hint(tx, 'certificates')
}

/** The certificate, for a caller with this role. Throws NOT_FOUND, FORBIDDEN. */
export async function findFor(
  db: Db | Tx,
  actor: Actor,
  id: string,
  role: 'viewer' | 'member',
): Promise<store.DetailedCertificate> {
  const row = await store.findCertificate(db, id)
  if (row === null) throw notFound('certificate')
  requireTenant(actor, row.tenantId, role, 'certificate')
  return row
}

async function issuerForRenewal(tx: Tx, dns: DnsProofs, row: store.DetailedCertificate): Promise<IssuerRow> {
  if (row.source === 'uploaded') throw new AppError('CONFLICT', 'This certificate was uploaded: upload its successor.')
  if (row.state === 'retired' || row.state === 'revoked')
    throw new AppError('CONFLICT', `This certificate is ${row.state}; no hostname uses it any more.`)
  const certificate = await store.loadForWork(tx, row.id)
  if (certificate === null) throw notFound('certificate')
  const issuers = await allIssuers(tx)
  const now = new Date()
  const planned = await plannedOf(dns, certificate)
  const choice = chooseIssuer(
    { ...planned, shunned: {} },
    issuers.map((issuer) => plannedIssuerOf(issuer, now)),
    now,
  )
  const chosen = choice.kind === 'none' ? undefined : issuers.find(({ id }) => id === choice.issuer.id)
  if (chosen !== undefined) return chosen
  throw new AppError(
    'ISSUER_INVALID',
    choice.kind === 'none' && choice.reason === 'wildcard'
      ? 'A wildcard can only be proven in DNS: add a DNS provider for its domain.'
      : 'No certificate issuer is enabled. Your administrator has to settle this.',
  )
}

/** Throws TOO_MANY_REQUESTS when the issuer's limits let no order through now. */
async function orderNow(tx: Tx, vault: Vault, row: store.DetailedCertificate, issuer: IssuerRow): Promise<string> {
  const now = new Date()
  const attempt = { issuerId: issuer.id, reason: 'renewal', isUrgent: false, isRehearsal: false } as const
  const result = await createOrder(tx, vault, row, issuer, attempt, now)
  if (result.orderId !== null) return result.orderId
  const until = result.kind === 'blocked' ? result.exhausted.until : null
  const detail =
    result.kind === 'blocked'
      ? limitProblem(row.names, result.exhausted).detail
      : 'The CA allows no more orders right now, and others wait already. What is due is renewed by itself in time.'
  const retryAfterSeconds = until === null ? 3_600 : Math.ceil((until.getTime() - now.getTime()) / 1_000)
  throw new AppError('TOO_MANY_REQUESTS', detail, { retryAfterSeconds })
}

/** A certificate as lists show it. */
export function viewOf(row: store.ViewedCertificate): CertificateView {
  const { issuer, activeVersion: active } = row
  const problem = store.readStoredProblem(row.problem)
  return {
    id: row.id,
    tenantId: row.tenantId,
    source: row.source,
    names: row.names,
    state: row.state,
    issuer:
      issuer === null
        ? null
        : { id: issuer.id, name: issuer.name, kind: issuer.kind, isPubliclyTrusted: isPubliclyTrusted(issuer) },
    fingerprint: active?.fingerprint ?? null,
    serial: active?.serial ?? null,
    notBefore: active?.notBefore.toISOString() ?? null,
    notAfter: active?.notAfter.toISOString() ?? null,
    nextActionAt: row.dueAt?.toISOString() ?? null,
    problem: problem === null ? null : { ...problem, at: problem.at ?? row.updatedAt.toISOString() },
    fallbackToAcme: row.source === 'uploaded' ? row.fallbackToAcme : null,
    leavingAt: row.leavingAt?.toISOString() ?? null,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }
}

/** A certificate by itself; never with its key. */
export function detailOf(row: store.DetailedCertificate): CertificateDetailView {
  const versions = row.versions.map((version) => ({
    type: 'version' as const,
    id: version.id,
    at: version.createdAt.toISOString(),
    issuerId: version.issuerId,
    fingerprint: version.fingerprint,
    serial: version.serial,
    notBefore: version.notBefore.toISOString(),
    notAfter: version.notAfter.toISOString(),
    isActive: version.id === row.activeVersionId,
    revokedAt: (version.revokedAt ?? version.revocationWantedAt)?.toISOString() ?? null,
  }))
  const orders = row.orders.map((order) => ({
    type: 'order' as const,
    id: order.id,
    at: order.createdAt.toISOString(),
    issuerId: order.issuerId,
    state: order.state,
    problem: problemOf(order.problem),
  }))
  const history = [...versions, ...orders].sort((a, b) => b.at.localeCompare(a.at))
  return {
    ...viewOf(row),
    chainPem: row.activeVersion?.chainPem ?? null,
    renewal: renewalOf(row),
    queue: null,
    hostnames: row.hostnames,
    history,
  }
}

/** A running order shows the certificate's present problem, an ended one its own. */
function operationOf(order: NonNullable<Awaited<ReturnType<typeof store.findOrder>>>): OperationView {
  const { id, state, certificate } = order
  if (state === 'valid') return { id, state: 'succeeded', result: { certificateId: certificate.id } }
  const hasEnded = state === 'invalid' || state === 'abandoned'
  const problem = problemOf(hasEnded ? order.problem : certificate.problem)
  return { id, state: hasEnded ? 'failed' : 'running', ...(problem === null ? {} : { problem }) }
}

function problemOf(value: Parameters<typeof store.readStoredProblem>[0]): { code: string; detail: string } | null {
  const problem = store.readStoredProblem(value)
  return problem === null ? null : { code: problem.code, detail: problem.detail }
}
