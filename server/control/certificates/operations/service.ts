import { type Actor, actorName } from '../../auth/access.ts'
import { type Db, hint, type Tx, write } from '../../db.ts'
import { AppError, notFound } from '../../errors.ts'
import { recordEvent } from '../../events/record.ts'
import type { WriteOptions } from '../../schema.ts'
import { chooseIssuer } from '../choose-issuer.ts'
import { allIssuers } from '../issuer-store.ts'
import type { DnsProofs } from '../order-run.ts'
import { plannedIssuerOf, plannedOf } from '../planned.ts'
import { notQueued } from '../queue.ts'
import type { OperationView } from '../schema.ts'
import { findFor } from '../service.ts'
import {
  closeOrder,
  type DetailedCertificate,
  findOpenOrder,
  loadForWork,
  noLease,
  noProblem,
  noWindow,
  updateCertificate,
} from '../store.ts'
import { isBarred, stopServing, useVersion } from '../uploads/upload-store.ts'
import { heldUntil } from './hold.ts'
import { findRevocation, insertOperation } from './operation-store.ts'
import * as versions from './revocation-store.ts'
import type { RevocationInput, RollbackInput } from './schema.ts'
import { viewOfOperation } from './view.ts'

/** Revocation and roll-back, as tenants ask for them. */
export type VersionService = {
  /**
   * Wants a version revoked (the active one, unless said otherwise): asked twice it is one operation. Where
   * hostnames use it, a new key and a new certificate are ordered at once, and it serves until they are there.
   */
  revoke(actor: Actor, id: string, input: RevocationInput, options: WriteOptions): Promise<OperationView>
  /** Activates an earlier version that is still good, the newest unless said otherwise. Throws CONFLICT when there is none. */
  rollback(actor: Actor, id: string, input: RollbackInput, options: WriteOptions): Promise<OperationView>
}

/** Makes the service over one database. */
export function createVersionService(deps: {
  readonly db: Db
  readonly dns: DnsProofs
  readonly now?: () => Date
}): VersionService {
  const { db, dns } = deps
  const now = deps.now ?? (() => new Date())
  return {
    async revoke(actor, id, { reason, versionId }, options) {
      await findFor(db, actor, id, 'member')
      return write(db, options, async (tx) => {
        await versions.lockCertificate(tx, id)
        const row = await findFor(tx, actor, id, 'member')
        const version = await chosenVersion(tx, row, versionId ?? row.activeVersionId)
        const present = await findRevocation(tx, version.id)
        if (reason === 'keyCompromise') await versions.barKey(tx, version)
        if (present !== null) return viewOfOperation(present)
        await versions.wantRevocation(tx, version.id)
        if (version.id === row.activeVersionId) await replace(tx, dns, row, version.id, now())
        const subject = { tenantId: row.tenantId, certificateId: id, versionId: version.id, issuerId: version.issuerId }
        const operation = await insertOperation(tx, { kind: 'revoke', ...subject, reason })
        await tell(tx, actor, row, 'revocation-asked', { reason, fingerprint: version.fingerprint })
        await hint(tx, 'certificates')
        return viewOfOperation(operation)
      })
    },
    async rollback(actor, id, { versionId }, options) {
      await findFor(db, actor, id, 'member')
      return write(db, options, async (tx) => {
        await versions.lockCertificate(tx, id)
        const row = await findFor(tx, actor, id, 'member')
        if (row.state === 'retired' || row.state === 'revoked')
          throw new AppError('CONFLICT', `This certificate is ${row.state}; no hostname uses it any more.`)
        const version = await goodVersion(tx, row, versionId, now())
        await activate(tx, row, version, now())
        const subject = { tenantId: row.tenantId, certificateId: id, versionId: version.id }
        const operation = await insertOperation(tx, { kind: 'rollback', ...subject, state: 'succeeded' })
        const from = row.activeVersion?.fingerprint ?? ''
        await tell(tx, actor, row, 'rolled-back', { from, fingerprint: version.fingerprint })
        await hint(tx, 'certificates')
        return viewOfOperation(operation)
      })
    },
  }
}

async function chosenVersion(
  tx: Tx,
  row: DetailedCertificate,
  versionId: string | null,
): Promise<versions.RevocableVersion> {
  const version = versionId === null ? null : await versions.findVersion(tx, versionId)
  if (version !== null && version.certificateId === row.id) return version
  if (versionId === null) throw new AppError('CONFLICT', 'There is nothing to revoke: no certificate was issued yet.')
  throw new AppError('NOT_FOUND', 'This certificate has no such version.', {
    errors: [{ field: 'versionId', detail: 'is no version of this certificate' }],
  })
}

/** Has the manager get a successor for hostnames that use what is to be revoked; where none can be had, it stops serving now. */
async function replace(tx: Tx, dns: DnsProofs, row: DetailedCertificate, versionId: string, now: Date): Promise<void> {
  const users = (await versions.usersOf(tx, row.id)).filter(({ ownershipState }) => ownershipState === 'verified')
  const certificate = await loadForWork(tx, row.id)
  if (certificate === null) throw notFound('certificate')
  const issuers = (await allIssuers(tx)).map((issuer) => plannedIssuerOf(issuer, now))
  const facts = { ...(await plannedOf(dns, certificate)), names: users.map(({ name }) => name), shunned: {} }
  if (users.length === 0 || chooseIssuer(facts, issuers, now).kind === 'none') await stopServing(tx, versionId)
  await updateCertificate(tx, row.id, { dueAt: now, heldUntil: null })
}

async function goodVersion(
  tx: Tx,
  row: DetailedCertificate,
  versionId: string | undefined,
  now: Date,
): Promise<versions.RevocableVersion> {
  const all = await versions.versionsOf(tx, row.id)
  const active = all.findIndex(({ id }) => id === row.activeVersionId)
  const candidates = versionId === undefined ? all.slice(active + 1) : [await chosenVersion(tx, row, versionId)]
  const reasons: string[] = []
  for (const version of candidates) {
    const reason = await reasonAgainst(tx, row, version, now)
    if (reason === null) return version
    reasons.push(reason)
  }
  const why = versionId === undefined ? 'There is no earlier version that is still good' : 'This version cannot be used'
  throw new AppError('CONFLICT', `${why}${reasons[0] === undefined ? '' : `: ${reasons[0]}`}.`)
}

/** Why a version cannot be served again; null when it can. */
async function reasonAgainst(
  tx: Tx,
  row: DetailedCertificate,
  version: versions.RevocableVersion,
  now: Date,
): Promise<string | null> {
  if (version.id === row.activeVersionId) return 'it is the one that is served now'
  if (version.revocationWantedAt !== null || version.revokedAt !== null) return 'it was revoked'
  if (version.notAfter <= now) return `it has expired at ${version.notAfter.toISOString()}`
  if (await isBarred(tx, versions.keyFingerprint(version.chainPem))) return 'its key is barred'
  return null
}

/** The pointer, and what keeps the manager from undoing it: an open order ends, whoever works on it loses the lease. */
async function activate(
  tx: Tx,
  row: DetailedCertificate,
  version: versions.RevocableVersion,
  now: Date,
): Promise<void> {
  const open = await findOpenOrder(tx, row.id)
  if (open !== null) await closeOrder(tx, open.id, 'abandoned', null)
  if (row.source === 'uploaded') return useVersion(tx, row.id, version.id, version.names)
  const held = heldUntil(version, now)
  const columns = { activeVersionId: version.id, issuerId: version.issuerId, state: 'valid' as const }
  await updateCertificate(tx, row.id, {
    ...columns,
    heldUntil: held,
    renewAt: held,
    ariPollAt: null,
    dueAt: held,
    ...noWindow,
    ...notQueued,
    ...noProblem,
    ...noLease,
  })
}

async function tell(
  tx: Tx,
  actor: Actor,
  { id, tenantId, names }: DetailedCertificate,
  what: 'revocation-asked' | 'rolled-back',
  detail: Record<string, string>,
): Promise<void> {
  const event = { actor: actorName(actor), tenantId, action: `certificate.${what}`, subjectId: id }
  await recordEvent(tx, { ...event, subjectName: names[0] ?? '', detail: { ...detail, names } })
}
