import { randomUUIDv7 } from 'node:crypto'
import { faultPoint } from '../../process/fault-point.ts'
import type { Tx } from '../db.ts'
import type { Vault } from '../vault.ts'
import { type Admission, admit, classOf } from './admission.ts'
import { certificateIdentifier } from './ari.ts'
import type { IssuerRow } from './issuer-store.ts'
import { generateKeyPem } from './keys.ts'
import type { Exhausted } from './ledger-store.ts'
import { limitsOf } from './limits.ts'
import type { PlannedAttempt } from './plan.ts'
import { limitProblem } from './problems.ts'
import { notQueued } from './queue.ts'
import * as store from './store.ts'
import { commit, tell, type Work } from './work.ts'

/** Times that were given to many are spread over this share of the wait. */
const WAKE_SPREAD = 0.05

/** A certificate as beginning an order needs it. */
export type Orderable = {
  readonly id: string
  readonly tenantId: string
  readonly names: string[]
  readonly queueTurn: bigint | null
  readonly queueIssuerId: string | null
  readonly activeVersion: {
    readonly issuerId: string | null
    readonly accountId: string | null
    readonly chainPem: string
    readonly notAfter: Date
  } | null
}

/**
 * Writes the order row: from here on it is resumed, never begun twice. Returns false when the limits of
 * the issuer let none through now; the row then says when it is looked at again.
 */
export async function begin(
  work: Work,
  certificate: store.WorkedCertificate,
  issuer: IssuerRow,
  attempt: PlannedAttempt,
): Promise<boolean> {
  let isGranted = false
  await commit(work, async (tx) => {
    const admission = await createOrder(tx, work.vault, certificate, issuer, attempt, work.now())
    isGranted = admission.kind === 'granted'
    if (admission.kind === 'granted') await tell(tx, certificate, 'ordered', { reason: attempt.reason })
    else if (admission.kind === 'blocked') await waitForLimit(tx, work, certificate, admission.exhausted)
    else await tell(tx, certificate, 'queued', { issuerId: issuer.id })
  })
  if (isGranted) faultPoint('order.created')
  return isGranted
}

async function waitForLimit(
  tx: Tx,
  work: Work,
  certificate: store.WorkedCertificate,
  exhausted: Exhausted,
): Promise<void> {
  const problem = limitProblem(certificate.names, exhausted)
  const waitMs = exhausted.until.getTime() - work.now().getTime()
  const isNew = store.readStoredProblem(certificate.problem)?.code !== problem.code
  await store.updateCertificate(tx, certificate.id, {
    dueAt: new Date(exhausted.until.getTime() + work.random() * WAKE_SPREAD * waitMs),
    problem: { ...problem, at: work.now().toISOString() },
    ...notQueued,
    ...store.noLease,
  })
  if (isNew) await tell(tx, certificate, 'limited', problem)
}

/**
 * A new order row with a new key, and the certificate's state that goes with it, if the issuer's
 * limits let it through; an order that is open already is left as it is.
 */
export async function createOrder(
  tx: Tx,
  vault: Vault,
  certificate: Orderable,
  issuer: IssuerRow,
  attempt: PlannedAttempt,
  now: Date,
): Promise<Admission & { readonly orderId: string | null }> {
  const open = await store.findOpenOrder(tx, certificate.id)
  if (open !== null) return { kind: 'granted', orderId: open.id }
  const isRehearsal = attempt.isRehearsal && issuer.stagingUrl !== null
  const replaces = isRehearsal ? null : replacedBy(certificate, issuer)
  const admission = isRehearsal
    ? ({ kind: 'granted' } as const)
    : await ask(tx, certificate, issuer, attempt, replaces, now)
  if (admission.kind !== 'granted') return { ...admission, orderId: null }
  const { id: certificateId, names } = certificate
  const id = randomUUIDv7()
  const keySealed = vault.seal(await generateKeyPem(), store.orderKeyContext(id))
  const { profile } = issuer
  await store.insertOrder(tx, {
    id,
    certificateId,
    issuerId: issuer.id,
    names,
    keySealed,
    replaces,
    profile,
    isRehearsal,
  })
  const isFirst = certificate.activeVersion === null
  const state = isFirst ? ({ state: 'ordering', issuerId: issuer.id } as const) : ({ state: 'renewing' } as const)
  await store.updateCertificate(tx, certificateId, { ...state, ...notQueued })
  return { kind: 'granted', orderId: id }
}

function ask(
  tx: Tx,
  certificate: Orderable,
  issuer: IssuerRow,
  attempt: PlannedAttempt,
  replaces: string | null,
  now: Date,
): Promise<Admission> {
  const { id: certificateId, tenantId, names, activeVersion, queueTurn, queueIssuerId } = certificate
  const limits = limitsOf(issuer)
  const notAfter = attempt.reason === 'first' ? null : (activeVersion?.notAfter ?? null)
  return admit(
    tx,
    {
      entry: { certificateId, tenantId, issuerId: issuer.id, class: classOf(attempt), notAfter },
      names,
      limits,
      isExempt: limits.exemptsReplacements && replaces !== null,
      turn: queueIssuerId === issuer.id ? queueTurn : null,
    },
    now,
  )
}

/** Only the account that ordered a certificate may say that it is replaced (RFC 9773 section 5). */
function replacedBy({ activeVersion }: Orderable, issuer: IssuerRow): string | null {
  const [account] = issuer.accounts
  if (activeVersion === null || issuer.kind !== 'acme' || account === undefined) return null
  if (activeVersion.issuerId !== issuer.id || activeVersion.accountId !== account.id) return null
  return certificateIdentifier(activeVersion.chainPem)
}
