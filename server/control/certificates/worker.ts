import { randomUUIDv7 } from 'node:crypto'
import { faultPoint } from '../../process/fault-point.ts'
import type { Logger } from '../../process/log.ts'
import { type Db, write as inTransaction, type Tx } from '../db.ts'
import { recordEvent } from '../events/record.ts'
import type { Vault } from '../vault.ts'
import { IssuerProblem } from './issuer.ts'
import { allIssuers, forgetAccountOf, type IssuerRow } from './issuer-store.ts'
import type { Issuers } from './issuers.ts'
import { generateKeyPem } from './keys.ts'
import { holdLease, type Lease, LeaseLostError } from './lease.ts'
import { type AwaitAcked, carryOut, type Delivery, OrderPendingError, type RecheckBeforeOrder } from './order.ts'
import { type Action, type PlannedCertificate, planCertificate } from './plan.ts'
import {
  CertificateError,
  type CertificateProblem,
  type Failure,
  failureOf,
  isAccountLost,
  ownFailures,
} from './problems.ts'
import { type Random, renewAt, retryDelayMs } from './schedule.ts'
import * as store from './store.ts'
import { ChainError, type VerifiedChain, verifyChain } from './verify.ts'

/** A paused certificate is looked at once a day, besides what wakes it. */
const PAUSED_LOOK_MS = 24 * 3_600_000
/** An abandoned order is followed by a new look; more than two are a mistake. */
const MAX_LOOKS = 3

/** What working on certificates needs. */
export type WorkerDeps = {
  readonly db: Db
  readonly vault: Vault
  readonly issuers: Issuers
  readonly log: Logger
  readonly awaitAcked: AwaitAcked
  readonly recheckBeforeOrder: RecheckBeforeOrder
  readonly now: () => Date
  readonly random: Random
}

type Work = WorkerDeps & { readonly lease: Lease; readonly signal: AbortSignal }

/**
 * Does what is due for one certificate, and leaves a row that says what comes next. Never throws for
 * what a CA or a tenant may cause; throws `LeaseLostError` when another manager has taken over and
 * what the database throws.
 */
export async function workOn(deps: WorkerDeps, lease: Lease, signal: AbortSignal): Promise<void> {
  const work = { ...deps, lease, signal }
  for (let look = 0; look < MAX_LOOKS; look += 1) {
    const certificate = await store.loadForWork(deps.db, lease.certificateId)
    if (certificate === null) return
    const issuers = await allIssuers(deps.db)
    const action = planCertificate(plannedOf(certificate), issuers, deps.now())
    if (await act(work, certificate, issuers, action)) return
  }
}

/** Whether the certificate is done with for now. */
async function act(
  work: Work,
  certificate: store.WorkedCertificate,
  issuers: readonly IssuerRow[],
  action: Action,
): Promise<boolean> {
  switch (action.kind) {
    case 'rest':
      await settle(work, { dueAt: null })
      return true
    case 'wait':
      await settle(work, { dueAt: action.until, state: 'valid', ...store.noProblem })
      return true
    case 'pause':
      await pause(work, certificate, action.problem)
      return true
    case 'retire':
      await commit(work, async (tx) => {
        await store.retire(tx, certificate.id)
        await tell(tx, certificate, 'retired')
      })
      return true
    case 'abandon':
      await commit(work, (tx) => store.closeOrder(tx, action.orderId, 'abandoned', null))
      return false
    case 'order':
      await begin(work, certificate, action.issuerId, action.reason)
      return false
    case 'resume':
      await resume(work, certificate, issuers)
      return true
  }
}

/** Writes the order row: from here on it is resumed, never begun twice. */
async function begin(
  work: Work,
  certificate: store.WorkedCertificate,
  issuerId: string,
  reason: string,
): Promise<void> {
  await commit(work, async (tx) => {
    await createOrder(tx, work.vault, certificate, issuerId)
    await tell(tx, certificate, 'ordered', { reason })
  })
  faultPoint('order.created')
}

/**
 * A new order row with a new key, and the certificate's state that goes with it. Returns the order's
 * id, that of the open order when there is one.
 */
export async function createOrder(
  tx: Tx,
  vault: Vault,
  certificate: { readonly id: string; readonly names: string[]; readonly activeVersionId: string | null },
  issuerId: string,
): Promise<string> {
  const open = await store.findOpenOrder(tx, certificate.id)
  if (open !== null) return open.id
  const id = randomUUIDv7()
  const keySealed = vault.seal(await generateKeyPem(), store.orderKeyContext(id))
  await store.insertOrder(tx, { id, certificateId: certificate.id, issuerId, names: certificate.names, keySealed })
  const isFirst = certificate.activeVersionId === null
  await store.updateCertificate(tx, certificate.id, isFirst ? { state: 'ordering', issuerId } : { state: 'renewing' })
  return id
}

async function resume(work: Work, certificate: store.WorkedCertificate, rows: readonly IssuerRow[]): Promise<void> {
  const [order] = certificate.orders
  const row = rows.find(({ id }) => id === order?.issuerId)
  if (order === undefined || row === undefined) throw new Error(`certificate ${certificate.id} has no order to resume`)
  const hostnames = certificate.hostnames.filter(({ ownershipState }) => ownershipState === 'verified')
  try {
    const issuer = work.issuers.use(row)
    const delivery = await carryOut({ ...work, issuer, hostnameIds: hostnames.map(({ id }) => id) }, order)
    await activate(work, certificate, order, verify(work, order, delivery), delivery.keyPem)
  } catch (error) {
    if (error instanceof LeaseLostError || work.signal.aborted) throw error
    if (error instanceof OrderPendingError) return settle(work, { dueAt: later(work, error.retryAfterMs) })
    await fail(work, certificate, order, error)
  }
}

function verify(work: Work, order: store.OrderRow, { chainPem, keyPem }: Delivery): VerifiedChain {
  try {
    return verifyChain(chainPem, keyPem, order.names, work.now())
  } catch (error) {
    if (!(error instanceof ChainError)) throw error
    throw new CertificateError(ownFailures.unusable(order.names, error.message), error)
  }
}

/** Version, pointer, order and event in one transaction: the edges see the old one or the new one. */
async function activate(
  work: Work,
  certificate: store.WorkedCertificate,
  order: store.OrderRow,
  chain: VerifiedChain,
  keyPem: string,
): Promise<void> {
  const { fingerprint, notBefore, notAfter } = chain
  const keySealed = work.vault.seal(keyPem, store.certificateKeyContext(fingerprint))
  const dueAt = renewAt(notBefore, notAfter, work.random)
  await commit(work, async (tx) => {
    await store.activateVersion(tx, certificate.id, order.issuerId, chain, keySealed, dueAt)
    await store.closeOrder(tx, order.id, 'valid', null)
    await tell(tx, certificate, 'issued', { fingerprint, notAfter: notAfter.toISOString(), issuerId: order.issuerId })
  })
  work.log.info({ names: order.names, fingerprint, notAfter }, 'certificate issued')
}

/** Keeps the problem and when it is tried again; the certificate that is served goes on. */
async function fail(
  work: Work,
  certificate: store.WorkedCertificate,
  order: store.OrderRow,
  error: unknown,
): Promise<void> {
  const failure = failureFrom(work, error, order.names)
  const failures = certificate.failures + 1
  const dueAt = later(work, retryDelayMs(failure.retry, failures, failure.retryAfterMs, work.random))
  const problem = { code: failure.code, detail: failure.detail }
  const isNew = store.readStoredProblem(certificate.problem)?.code !== failure.code
  await commit(work, async (tx) => {
    if (failure.endsOrder) await store.closeOrder(tx, order.id, 'invalid', problem)
    if (error instanceof IssuerProblem && isAccountLost(error)) await forgetAccountOf(tx, order.id)
    await store.updateCertificate(tx, certificate.id, {
      state: failedState(certificate, failure, work.now()),
      failures,
      dueAt,
      problem: { ...problem, at: work.now().toISOString() },
      ...store.noLease,
    })
    if (isNew || failure.retry === 'backoff')
      await tell(tx, certificate, 'failed', { ...problem, retryAt: dueAt.toISOString() })
  })
  if (error instanceof IssuerProblem && isAccountLost(error)) work.issuers.drop(order.issuerId)
  work.log.warn({ names: order.names, code: failure.code, retryAt: dueAt, err: error }, 'no certificate yet')
}

function failureFrom(work: Work, error: unknown, names: readonly string[]): Failure {
  if (error instanceof IssuerProblem) return failureOf(error, names)
  if (error instanceof CertificateError) return error.failure
  work.log.error({ err: error, names }, 'ordering a certificate failed on our side')
  return ownFailures.internal(names)
}

function failedState(
  certificate: store.WorkedCertificate,
  failure: Failure,
  now: Date,
): 'expired' | 'failing' | 'paused' {
  const active = certificate.activeVersion
  if (active !== null && active.notAfter <= now) return 'expired'
  return failure.retry === 'hourly' && active === null ? 'paused' : 'failing'
}

async function pause(work: Work, certificate: store.WorkedCertificate, problem: CertificateProblem): Promise<void> {
  const isNew = store.readStoredProblem(certificate.problem)?.code !== problem.code
  await commit(work, async (tx) => {
    await store.updateCertificate(tx, certificate.id, {
      state: 'paused',
      dueAt: later(work, PAUSED_LOOK_MS),
      problem: { ...problem, at: work.now().toISOString() },
      ...store.noLease,
    })
    if (isNew) await tell(tx, certificate, 'paused', problem)
  })
}

async function settle(work: Work, data: Parameters<typeof store.updateCertificate>[2]): Promise<void> {
  await commit(work, (tx) => store.updateCertificate(tx, work.lease.certificateId, { ...data, ...store.noLease }))
}

/** Records `certificate.<what>` for the timeline of its hostnames. */
async function tell(
  tx: Tx,
  certificate: { readonly id: string; readonly tenantId: string; readonly names: readonly string[] },
  what: 'ordered' | 'issued' | 'failed' | 'paused' | 'retired',
  detail: Record<string, string> = {},
): Promise<void> {
  const { id, tenantId, names } = certificate
  await recordEvent(tx, {
    actor: 'system',
    tenantId,
    action: `certificate.${what}`,
    subjectId: id,
    subjectName: names[0] ?? '',
    detail: { ...detail, names: [...names] },
  })
}

async function commit(work: Work, write: (tx: Tx) => Promise<unknown>): Promise<void> {
  await inTransaction(work.db, {}, async (tx) => {
    await holdLease(tx, work.lease)
    await write(tx)
  })
}

function later(work: Work, ms: number): Date {
  return new Date(work.now().getTime() + ms)
}

function plannedOf(certificate: store.WorkedCertificate): PlannedCertificate {
  const { names, state, source, activeVersion, orders, hostnames } = certificate
  return {
    names,
    state,
    source,
    active: activeVersion,
    openOrder: orders[0] ?? null,
    hostnames: hostnames.map(({ ownershipState }) => ownershipState),
  }
}
