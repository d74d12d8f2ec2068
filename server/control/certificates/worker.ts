import { activate, endRehearsal } from './activate.ts'
import { askWindow } from './ask-window.ts'
import { begin } from './begin.ts'
import type { PlannedIssuer } from './choose-issuer.ts'
import { fail, lookForReturn } from './fail.ts'
import { allIssuers, type IssuerRow } from './issuer-store.ts'
import { type Lease, LeaseLostError } from './lease.ts'
import { carryOut, OrderPendingError } from './order.ts'
import { type Action, type PlannedCertificate, planCertificate } from './plan.ts'
import { plannedIssuerOf, plannedOf } from './planned.ts'
import type { CertificateProblem } from './problems.ts'
import * as store from './store.ts'
import { workOnUploaded } from './uploads/expiry-work.ts'
import { commit, later, settle, tell, type Work, type WorkerDeps } from './work.ts'

/** A paused certificate is looked at once a day, besides what wakes it. */
const PAUSED_LOOK_MS = 24 * 3_600_000
/** An order that was abandoned, or a window that was asked for, is followed by a new look; more are a mistake. */
const MAX_LOOKS = 4
/** Stay with one order before it is left to a later pass; less for those that failed before. */
const PATIENCE_MS = 20_000
const FAILING_PATIENCE_MS = 5_000
/** Waits between looks at an order that the CA is slow with. */
const SLOW_LOOK_MS = 3_000
const MAX_SLOW_LOOK_MS = 60_000
/** What many wait for does not come at one moment. */
const WAKE_SPREAD_MS = 60_000

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
    if (certificate.source === 'uploaded') return workOnUploaded(work, certificate.id)
    const issuers = await allIssuers(deps.db)
    const planned = await plannedOf(deps.dns, certificate)
    const plannedIssuers = issuers.map((row) => plannedIssuerOf(row, deps.now()))
    const action = planCertificate(planned, plannedIssuers, deps.now())
    if (await act(work, { certificate, planned, issuers, plannedIssuers }, action)) return
  }
}

/** What one look has found. */
type Scene = {
  readonly certificate: store.WorkedCertificate
  readonly planned: PlannedCertificate
  readonly issuers: readonly IssuerRow[]
  readonly plannedIssuers: readonly PlannedIssuer[]
}

/** Whether the certificate is done with for now. */
async function act(work: Work, scene: Scene, action: Action): Promise<boolean> {
  const { certificate, issuers } = scene
  switch (action.kind) {
    case 'rest':
      await settle(work, { dueAt: null })
      return true
    case 'wait':
      await wait(work, certificate, action)
      return true
    case 'pause':
      await pause(work, certificate, action.problem)
      return true
    case 'look':
      return !(await lookForReturn(work, certificate))
    case 'retire':
      await commit(work, async (tx) => {
        await store.retire(tx, certificate.id)
        await tell(tx, certificate, 'retired')
      })
      return true
    case 'abandon':
      await commit(work, (tx) => store.closeOrder(tx, action.orderId, 'abandoned', null))
      return false
    case 'ask':
      await askWindow(work, certificate, work.issuers.use(rowOf(issuers, action.issuerId)))
      return false
    case 'order':
      return !(await begin(work, certificate, rowOf(issuers, action.issuerId), action))
    case 'resume':
      return resume(work, scene)
  }
}

async function wait(
  work: Work,
  certificate: store.WorkedCertificate,
  { until, isFresh }: Extract<Action, { kind: 'wait' }>,
): Promise<void> {
  if (isFresh) return settle(work, { dueAt: until, state: 'valid', ...store.noProblem })
  // A spread that is small beside what is left of the certificate's life after the wait.
  const leftMs = (certificate.activeVersion?.notAfter.getTime() ?? 0) - until.getTime()
  const spreadMs = Math.min(WAKE_SPREAD_MS, Math.max(0, leftMs) / 4)
  const dueAt = new Date(until.getTime() + work.random() * spreadMs)
  await settle(work, { dueAt })
}

/** Whether the certificate is done with for now: after a rehearsal that went well production is asked at once. */
async function resume(work: Work, { certificate, planned, issuers, plannedIssuers }: Scene): Promise<boolean> {
  const [order] = certificate.orders
  if (order === undefined) throw new Error(`certificate ${certificate.id} has no order to resume`)
  const row = rowOf(issuers, order.issuerId)
  const verified = certificate.hostnames.filter(({ ownershipState }) => ownershipState === 'verified')
  try {
    const delivery = await carryOut(
      {
        ...work,
        issuer: work.issuers.use(row, order.isRehearsal),
        tenantId: certificate.tenantId,
        hostnameIds: verified.map(({ id }) => id),
        isFirst: certificate.activeVersion === null,
        failedChallenge: certificate.failedChallenge,
        patienceMs: work.lease.isFailing ? FAILING_PATIENCE_MS : PATIENCE_MS,
      },
      order,
    )
    if (delivery === null) await endRehearsal(work, certificate, order)
    else await activate(work, certificate, order, delivery)
    return delivery !== null
  } catch (error) {
    if (error instanceof LeaseLostError || work.signal.aborted) throw error
    if (error instanceof OrderPendingError) await lookLater(work, order, error)
    else await fail(work, certificate, order, { issuer: row, facts: planned, issuers: plannedIssuers }, error)
    return true
  }
}

/** The CA, or DNS, is slow: nobody waits here for it. */
async function lookLater(work: Work, order: store.OrderRow, pending: OrderPendingError): Promise<void> {
  const { retryAfterMs: askedMs, problem } = pending
  await commit(work, async (tx) => {
    const looks = await store.countLook(tx, order.id)
    const waitMs = Math.max(askedMs, Math.min(SLOW_LOOK_MS * 2 ** Math.min(looks - 1, 10), MAX_SLOW_LOOK_MS))
    await store.updateCertificate(tx, work.lease.certificateId, {
      dueAt: later(work, waitMs),
      ...(problem === null ? {} : { problem: { code: 'DNS_WAITING', detail: problem, at: work.now().toISOString() } }),
      ...store.noLease,
    })
  })
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

function rowOf(rows: readonly IssuerRow[], id: string): IssuerRow {
  const row = rows.find((item) => item.id === id)
  if (row === undefined) throw new Error(`there is no issuer ${id}`)
  return row
}
