import { setTimeout as sleep } from 'node:timers/promises'
import { faultPoint } from '../../process/fault-point.ts'
import { IssuerProblem, type PlacedOrder, type RemoteOrder } from './issuer.ts'
import { createCsr } from './keys.ts'
import { writeHeld } from './lease.ts'
import type { Delivery, OrderRun } from './order-run.ts'
import { CertificateError, isAccountLost, ownFailures } from './problems.ts'
import { answerChallenges } from './prove.ts'
import * as store from './store.ts'

const FIRST_POLL_MS = 100
const MAX_POLL_MS = 5_000

/** The issuer, or DNS, is still at work: come back after this time. */
export class OrderPendingError extends Error {
  override name = 'OrderPendingError'
  readonly retryAfterMs: number
  /** What is in the way, for the tenant; null while it has not taken long. */
  readonly problem: string | null

  constructor(retryAfterMs: number, problem: string | null = null) {
    super(`the order is still pending at the issuer`)
    this.retryAfterMs = retryAfterMs
    this.problem = problem
  }
}

/**
 * Carries an order on from wherever its row says it stands, each step kept before the next begins,
 * until the issuer delivers; a rehearsal ends when the issuer would deliver, with null. Throws
 * `IssuerProblem`, `CertificateError`, `OrderPendingError` and `LeaseLostError`.
 */
export async function carryOut(run: OrderRun, order: store.OrderRow): Promise<Delivery | null> {
  const keyPem = run.vault.unseal(order.keySealed, store.orderKeyContext(order.id)).toString()
  const csrPem = await createCsr(keyPem, order.names)
  if (order.certificateUrl !== null) return deliver(run, order, order.certificateUrl, csrPem, keyPem)

  let remote = order.url === null ? await place(run, order) : await run.issuer.readOrder(order.url)
  if (remote.state === 'pending') remote = await prove(run, order, remote)
  if (order.isRehearsal && remote.state !== 'invalid') return null
  if (remote.state === 'ready') remote = await finalize(run, order, remote, csrPem)
  if (remote.state === 'processing') remote = await poll(run, remote, ['processing'])
  if (remote.state === 'invalid') throw await refusal(run, order, remote)
  if (remote.certificateUrl === null) throw new OrderPendingError(MAX_POLL_MS)
  const finished = remote
  await writeHeld(run.db, run.lease, (tx) => store.saveRemoteOrder(tx, order.id, finished))
  return deliver(run, order, remote.certificateUrl, csrPem, keyPem)
}

async function place(run: OrderRun, order: store.OrderRow): Promise<RemoteOrder> {
  await check(run, order)
  const account = await run.issuer.ensureAccount()
  // With an account kept, the order may have been placed by a process that died before it kept the URL.
  const lost = order.accountId === null ? null : await findPlaced(run, order)
  if (lost === null) await writeHeld(run.db, run.lease, (tx) => store.saveAccount(tx, order.id, account?.id ?? null))
  const placed = lost ?? (await placeNew(run, order))
  // Not kept yet: whoever resumes looks for it in the account's list of orders.
  faultPoint('order.answered')
  await writeHeld(run.db, run.lease, (tx) => store.savePlacedOrder(tx, order.id, placed))
  faultPoint('order.placed')
  return placed
}

/** Ownership again, and for a first order what the CA would refuse anyway: that costs it no request. */
async function check(run: OrderRun, order: store.OrderRow): Promise<void> {
  for (const hostnameId of run.hostnameIds)
    if (!(await run.recheckBeforeOrder(hostnameId))) throw new CertificateError(ownFailures.notProven(order.names))
  if (!run.isFirst || run.issuer.kind !== 'acme') return
  for (const hostnameId of run.hostnameIds) {
    const finding = await run.preflight(hostnameId, run.issuer.id, run.signal)
    if (finding !== null) throw new CertificateError(ownFailures.unready(order.names, finding))
  }
}

/** A refusal, and a CA that was not reached at all, leave nothing behind that would have to be looked for. */
async function placeNew(run: OrderRun, order: store.OrderRow): Promise<PlacedOrder> {
  try {
    return await run.issuer.placeOrder(order)
  } catch (error) {
    // Which account is lost, its order's row has to say.
    if (error instanceof IssuerProblem && !error.mayHaveTakenEffect && !isAccountLost(error))
      await writeHeld(run.db, run.lease, (tx) => store.saveAccount(tx, order.id, null))
    throw error
  }
}

async function findPlaced(run: OrderRun, order: store.OrderRow) {
  const found = await run.issuer.findOrder(order.names, (urls) => store.knownOrderUrls(run.db, urls))
  return found === null ? null : { ...found, profile: order.profile, replaces: order.replaces }
}

async function prove(run: OrderRun, order: store.OrderRow, remote: RemoteOrder): Promise<RemoteOrder> {
  const wait = await answerChallenges(run, order, remote)
  if (wait !== null) throw new OrderPendingError(wait.retryAfterMs, wait.problem)
  const proven = await poll(run, remote, ['pending'])
  await writeHeld(run.db, run.lease, (tx) => store.saveRemoteOrder(tx, order.id, proven))
  return proven
}

async function finalize(
  run: OrderRun,
  order: store.OrderRow,
  remote: RemoteOrder,
  csrPem: string,
): Promise<RemoteOrder> {
  await writeHeld(run.db, run.lease, (tx) => store.saveRemoteOrder(tx, order.id, remote))
  const finalized = await run.issuer.finalizeOrder(remote, csrPem)
  // Not kept yet: whoever resumes asks for the order's state and does not finalize again.
  faultPoint('order.finalized')
  return finalized
}

async function deliver(
  run: OrderRun,
  order: store.OrderRow,
  url: string,
  csrPem: string,
  keyPem: string,
): Promise<Delivery> {
  const chainPem = await run.issuer.downloadCertificate(url, csrPem)
  faultPoint('order.downloaded')
  const accountId = order.accountId ?? (await run.issuer.ensureAccount())?.id ?? null
  return { chainPem, keyPem, accountId }
}

/** Looks at once, then after 100, 200, 400 ms and so on, or when the issuer says; leaves a slow order to a later pass. */
async function poll(
  run: OrderRun,
  remote: RemoteOrder,
  whileIn: readonly RemoteOrder['state'][],
): Promise<RemoteOrder> {
  const deadline = Date.now() + run.patienceMs
  let present = remote
  for (let delayMs = FIRST_POLL_MS; ; delayMs = Math.min(delayMs * 2, MAX_POLL_MS)) {
    const waitMs = Math.max(delayMs, present.retryAfterMs ?? 0)
    if (Date.now() + waitMs > deadline) throw new OrderPendingError(waitMs)
    await sleep(waitMs, undefined, { signal: run.signal })
    present = await run.issuer.readOrder(remote.url)
    if (!whileIn.includes(present.state)) return present
  }
}

/** Why an order became invalid: the failed authorization says it best. */
async function refusal(run: OrderRun, order: store.OrderRow, remote: RemoteOrder): Promise<Error> {
  for (const url of remote.authorizationUrls) {
    const { error, name } = await run.issuer.readAuthorization(url)
    if (error === null) continue
    const { type, detail, status, instance } = error
    const subproblems = error.subproblems.length > 0 ? error.subproblems : [{ type, detail, name }]
    return new IssuerProblem({ type, detail, status, instance, subproblems })
  }
  return new CertificateError(ownFailures.refused(order.names))
}
