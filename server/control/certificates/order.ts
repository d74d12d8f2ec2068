import { setTimeout as sleep } from 'node:timers/promises'
import { http01Key } from '../../contract/records.ts'
import { faultPoint } from '../../process/fault-point.ts'
import { type Db, type Tx, write } from '../db.ts'
import type { Vault } from '../vault.ts'
import { type Issuer, IssuerProblem, type RemoteAuthorization, type RemoteOrder } from './issuer.ts'
import { createCsr } from './keys.ts'
import { holdLease, type Lease } from './lease.ts'
import { CertificateError, ownFailures } from './problems.ts'
import * as store from './store.ts'

/** Longest wait for the edges to confirm a challenge. */
const ACK_TIMEOUT_MS = 30_000
/** Longest stay with one order; then it is left to a later pass, which goes on where this one stopped. */
const PATIENCE_MS = 60_000
const FIRST_POLL_MS = 100
const MAX_POLL_MS = 5_000

/** Waits until every live edge serves these challenge records; false when that did not happen in time. */
export type AwaitAcked = (
  keys: readonly { readonly kind: 'challenge'; readonly key: string }[],
  signal: AbortSignal,
  timeoutMs: number,
) => Promise<boolean>

/** Looks at the proof of ownership again; false when it is gone. */
export type RecheckBeforeOrder = (hostnameId: string) => Promise<boolean>

/** What carrying out an order needs. */
export type OrderRun = {
  readonly db: Db
  readonly vault: Vault
  readonly issuer: Issuer
  readonly lease: Lease
  readonly hostnameIds: readonly string[]
  readonly awaitAcked: AwaitAcked
  readonly recheckBeforeOrder: RecheckBeforeOrder
  /** Aborts at stop and when the lease is lost. */
  readonly signal: AbortSignal
}

/** What the issuer delivered, not looked at yet. */
export type Delivery = { readonly chainPem: string; readonly keyPem: string }

/** The issuer is still at work: come back after this time. */
export class OrderPendingError extends Error {
  override name = 'OrderPendingError'
  readonly retryAfterMs: number

  constructor(retryAfterMs: number) {
    super(`the order is still pending at the issuer`)
    this.retryAfterMs = retryAfterMs
  }
}

/**
 * Carries an order on from wherever its row says it stands, each step kept before the next begins,
 * until the issuer delivers. Between the issuer's answer to newOrder and the commit of its URL lies
 * the one gap that no row can close: an order placed there is left behind and expires unpaid.
 * Throws `IssuerProblem`, `CertificateError`, `OrderPendingError` and `LeaseLostError`.
 */
export async function carryOut(run: OrderRun, order: store.OrderRow): Promise<Delivery> {
  const keyPem = run.vault.unseal(order.keySealed, store.orderKeyContext(order.id)).toString()
  const csrPem = await createCsr(keyPem, order.names)
  if (order.certificateUrl !== null) return deliver(run, order.certificateUrl, csrPem, keyPem)

  let remote = order.url === null ? await place(run, order) : await run.issuer.readOrder(order.url)
  if (remote.state === 'pending') remote = await prove(run, order, remote)
  if (remote.state === 'ready') remote = await finalize(run, order, remote, csrPem)
  if (remote.state === 'processing') remote = await poll(run, remote, ['processing'])
  if (remote.state === 'invalid') throw await refusal(run, order, remote)
  if (remote.certificateUrl === null) throw new OrderPendingError(MAX_POLL_MS)
  const finished = remote
  await commit(run, (tx) => store.saveRemoteOrder(tx, order.id, finished))
  return deliver(run, remote.certificateUrl, csrPem, keyPem)
}

async function place(run: OrderRun, order: store.OrderRow): Promise<RemoteOrder> {
  for (const hostnameId of run.hostnameIds)
    if (!(await run.recheckBeforeOrder(hostnameId))) throw new CertificateError(ownFailures.notProven(order.names))
  const accountId = await run.issuer.ensureAccount()
  await commit(run, (tx) => store.saveAccount(tx, order.id, accountId))
  const remote = await run.issuer.placeOrder(order.names)
  await commit(run, (tx) => store.saveRemoteOrder(tx, order.id, remote))
  faultPoint('order.placed')
  return remote
}

/** Answers what the issuer wants proven. Authorizations that are valid already are skipped (RFC 8555 section 7.1.3 allows it). */
async function prove(run: OrderRun, order: store.OrderRow, remote: RemoteOrder): Promise<RemoteOrder> {
  const authorizations = await Promise.all(remote.authorizationUrls.map((url) => run.issuer.readAuthorization(url)))
  const challenges = authorizations.filter(isOpen).map(challengeOf)
  if (challenges.length > 0) {
    await commit(run, async (tx) => {
      for (const challenge of challenges) await store.publishChallenge(tx, order.id, challenge)
    })
    await submit(run, order, challenges)
  }
  const proven = await poll(run, remote, ['pending'])
  await commit(run, (tx) => store.saveRemoteOrder(tx, order.id, proven))
  return proven
}

/** The issuer is told only when it will be answered. */
async function submit(run: OrderRun, order: store.OrderRow, challenges: readonly store.NewChallenge[]): Promise<void> {
  const keys = challenges.map(({ token }) => ({ kind: 'challenge', key: http01Key(token) }) as const)
  const isAcked = await run.awaitAcked(keys, run.signal, ACK_TIMEOUT_MS)
  run.signal.throwIfAborted()
  if (!isAcked) throw new CertificateError(ownFailures.unconfirmed(order.names))
  faultPoint('order.challenge-published')
  for (const challenge of challenges) if (!challenge.isSubmitted) await run.issuer.submitChallenge(challenge)
  const tokens = challenges.map(({ token }) => token)
  await commit(run, (tx) => store.markSubmitted(tx, tokens))
  faultPoint('order.challenge-submitted')
}

async function finalize(
  run: OrderRun,
  order: store.OrderRow,
  remote: RemoteOrder,
  csrPem: string,
): Promise<RemoteOrder> {
  await commit(run, (tx) => store.saveRemoteOrder(tx, order.id, remote))
  const finalized = await run.issuer.finalizeOrder(remote, csrPem)
  // Not kept yet: whoever resumes asks for the order's state and does not finalize again.
  faultPoint('order.finalized')
  return finalized
}

async function deliver(run: OrderRun, url: string, csrPem: string, keyPem: string): Promise<Delivery> {
  const chainPem = await run.issuer.downloadCertificate(url, csrPem)
  faultPoint('order.downloaded')
  return { chainPem, keyPem }
}

/** Looks at once, then after 100, 200, 400 ms and so on, or when the issuer says; leaves a slow order to a later pass. */
async function poll(
  run: OrderRun,
  remote: RemoteOrder,
  whileIn: readonly RemoteOrder['state'][],
): Promise<RemoteOrder> {
  const deadline = Date.now() + PATIENCE_MS
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
    const { type, detail, status } = error
    const subproblems = error.subproblems.length > 0 ? error.subproblems : [{ type, detail, name }]
    return new IssuerProblem({ type, detail, status, subproblems })
  }
  return new CertificateError(ownFailures.refused(order.names))
}

function isOpen(authorization: RemoteAuthorization): boolean {
  return !authorization.isValid && authorization.error === null
}

function challengeOf({ name, url, challenge }: RemoteAuthorization): store.NewChallenge {
  if (challenge === null) throw new CertificateError(ownFailures.noChallenge(name))
  return { ...challenge, name, authorizationUrl: url }
}

/** One transaction that is only committed while the lease is ours. */
async function commit(run: OrderRun, work: (tx: Tx) => Promise<unknown>): Promise<void> {
  await write(run.db, {}, async (tx) => {
    await holdLease(tx, run.lease)
    await work(tx)
  })
}
