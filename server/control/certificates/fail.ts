import type { Tx } from '../db.ts'
import { chooseIssuer, type IssuerChoiceFacts, type PlannedIssuer, type Shunned, shunning } from './choose-issuer.ts'
import { afterFailure } from './circuit.ts'
import { IssuerProblem } from './issuer.ts'
import { forgetAccountOf, type IssuerRow, lockCircuit, saveCircuit } from './issuer-store.ts'
import { block, refundOrder, registeredDomain, setKey, spendFailure } from './ledger-store.ts'
import { type LimitName, limitOf, limitsOf } from './limits.ts'
import { CertificateError, type Failure, failureOf, isAccountLost, ownFailures, pauses } from './problems.ts'
import { type RetryKind, retryDelayMs } from './schedule.ts'
import * as store from './store.ts'
import { commit, later, tell, type Work } from './work.ts'

const DAY_MS = 24 * 3_600_000
/** An issuer that refused a name is passed over for so long, if there is another. */
const REFUSED_MS = DAY_MS
/** And one that does not answer. */
const BROKEN_MS = 10 * 60_000
/** After so many failures in production the next attempt is rehearsed at the staging directory. */
const REHEARSE_AFTER = 3
/** A name that leads elsewhere for so long is given up; it comes back by itself. */
const DEPARTED_DAYS = 30
/** A CA that limits and does not say until when. */
const UNSAID_LIMIT_MS = 3_600_000

/** The issuer that failed, among those that there are. */
export type FailedAt = {
  readonly issuer: IssuerRow
  readonly issuers: readonly PlannedIssuer[]
  readonly facts: IssuerChoiceFacts
}

/** Keeps the problem and when it is tried again; the certificate that is served goes on. */
export async function fail(
  work: Work,
  certificate: store.WorkedCertificate,
  order: store.OrderRow,
  { issuer, facts, issuers }: FailedAt,
  error: unknown,
): Promise<void> {
  const proofType = error instanceof IssuerProblem ? await store.challengeTypeOf(work.db, order.id) : null
  const failure = failureFrom(work, error, order.names, proofType)
  const isValidation = failure.blame === 'validation'
  const departed = isValidation ? await departedSince(work, certificate) : certificate.departedAt
  const elsewhere = order.isRehearsal ? null : shunnedAfter(work, issuer.id, failure, facts, issuers)
  const next = nextOf(work, certificate, failure, departed, elsewhere !== null)
  const problem = { code: failure.code, detail: failure.detail }
  const isNew = store.readStoredProblem(certificate.problem)?.code !== failure.code
  await commit(work, async (tx) => {
    if (failure.endsOrder || order.isRehearsal) await store.closeOrder(tx, order.id, 'invalid', problem)
    if (error instanceof IssuerProblem && isAccountLost(error)) await forgetAccountOf(tx, order.id)
    if (!order.isRehearsal) await account(tx, work, order, issuer, failure)
    await store.updateCertificate(tx, certificate.id, {
      ...next.columns,
      problem: { ...problem, at: work.now().toISOString() },
      shunned: elsewhere ?? {},
      isRehearsing: rehearses(certificate, order, issuer, failure),
      ...(isValidation && proofType !== null ? { failedChallenge: proofType } : {}),
      departedAt: departed,
      ...store.noLease,
    })
    if (isNew || failure.retry === 'backoff')
      await tell(tx, certificate, 'failed', { ...problem, retryAt: next.dueAt.toISOString() })
  })
  if (error instanceof IssuerProblem && isAccountLost(error)) work.issuers.drop(order.issuerId)
  work.log.warn({ names: order.names, code: failure.code, retryAt: next.dueAt, err: error }, 'no certificate yet')
}

function failureFrom(work: Work, error: unknown, names: readonly string[], proofType: string | null): Failure {
  if (error instanceof IssuerProblem) return failureOf(error, names, proofType)
  if (error instanceof CertificateError) return error.failure
  work.log.error({ err: error, names }, 'ordering a certificate failed on our side')
  return ownFailures.internal(names)
}

/** What a failure counts for: the ledger, the circuit of the CA, its account. */
async function account(tx: Tx, work: Work, order: store.OrderRow, issuer: IssuerRow, failure: Failure): Promise<void> {
  const now = work.now()
  const limits = limitsOf(issuer)
  if (failure.endsOrder) await refundOrder(tx, issuer.id, limits, order, now)
  if (failure.blame === 'validation')
    for (const name of order.names) await spendFailure(tx, issuer.id, limits, name, now)
  if (failure.blame === 'limit') await blockLimit(tx, work, order, issuer, failure)
  if (failure.blame === 'issuer')
    await saveCircuit(tx, issuer.id, afterFailure(await lockCircuit(tx, issuer.id), failure, now, work.random))
  else if (failure.blame === 'validation') await saveCircuit(tx, issuer.id, null)
}

/**
 * The CA's word overrules the ledger; when it does not say which limit, it is that of the account. Where
 * the ledger knows no such limit, the whole CA is left alone until then.
 */
async function blockLimit(
  tx: Tx,
  work: Work,
  order: store.OrderRow,
  issuer: IssuerRow,
  failure: Failure,
): Promise<void> {
  const limit = limitOf(failure.detail) ?? 'newOrders'
  const now = work.now()
  const until = later(work, limitWaitMs(failure))
  for (const key of keysOf(limit, order.names)) await block(tx, order.issuerId, { limit, key }, until, now)
  if (limit !== 'newOrders' || limitsOf(issuer).newOrders !== null) return
  const { code, detail } = failure
  const since = now.toISOString()
  await saveCircuit(tx, issuer.id, { failures: 1, since, openUntil: until.toISOString(), code, detail })
}

function keysOf(limit: LimitName, names: readonly string[]): string[] {
  if (limit === 'newOrders') return ['']
  if (limit === 'certificatesPerSet') return [setKey(names)]
  return limit === 'failuresPerName' ? [...names] : [...new Set(names.map(registeredDomain))]
}

type Next = { readonly dueAt: Date; readonly columns: Parameters<typeof store.updateCertificate>[2] }

/** State and time of the next attempt. A limit is nobody's failure: it is tried when there is room again. */
function nextOf(
  work: Work,
  certificate: store.WorkedCertificate,
  failure: Failure,
  departed: Date | null,
  isElsewhere: boolean,
): Next {
  const now = work.now()
  const active = certificate.activeVersion
  const remainingMs = active === null ? null : active.notAfter.getTime() - now.getTime()
  const isServed = remainingMs !== null && remainingMs > 0
  const failures = certificate.failures + (failure.blame === 'limit' ? 0 : 1)
  const kind: RetryKind = departed !== null && failure.blame === 'validation' ? 'departed' : failure.retry
  const waitMs = retryDelayMs({ kind, failures, retryAfterMs: failure.retryAfterMs, remainingMs }, work.random)
  const dueAt = later(work, isElsewhere ? 0 : failure.blame === 'limit' ? limitWaitMs(failure) : waitMs)
  if (departed !== null && !isServed && now.getTime() - departed.getTime() > DEPARTED_DAYS * DAY_MS)
    return { dueAt: later(work, DAY_MS), columns: { state: 'retired', failures: 0, dueAt: later(work, DAY_MS) } }
  return { dueAt, columns: { state: stateOf(active !== null, isServed, failure), failures, dueAt } }
}

function stateOf(hasVersion: boolean, isServed: boolean, failure: Failure): 'expired' | 'paused' | 'failing' {
  if (hasVersion && !isServed) return 'expired'
  return failure.retry === 'hourly' && !hasVersion ? 'paused' : 'failing'
}

/**
 * The issuers to pass over, when another one can be asked at once for what this one refused, limits or is
 * too broken for; null when there is no other: then this one is asked again.
 */
function shunnedAfter(
  work: Work,
  issuerId: string,
  failure: Failure,
  facts: IssuerChoiceFacts,
  issuers: readonly PlannedIssuer[],
): Shunned | null {
  const passMs = passedOverMs(failure, facts)
  if (passMs === null) return null
  const now = work.now()
  const shunned = shunning(facts.shunned, issuerId, failure.code, later(work, passMs), now)
  return chooseIssuer({ ...facts, shunned }, issuers, now).kind === 'issuer' ? shunned : null
}

/** A fault of the CA sends only names elsewhere that have no certificate at all: renewals have time. */
function passedOverMs({ blame, retryAfterMs }: Failure, { active }: IssuerChoiceFacts): number | null {
  if (blame === 'refusal') return REFUSED_MS
  if (blame === 'limit') return retryAfterMs ?? UNSAID_LIMIT_MS
  return blame === 'issuer' && active === null ? BROKEN_MS : null
}

function limitWaitMs({ retryAfterMs }: Failure): number {
  return retryAfterMs ?? UNSAID_LIMIT_MS
}

function rehearses(
  certificate: store.WorkedCertificate,
  order: store.OrderRow,
  issuer: IssuerRow,
  { blame }: Failure,
): boolean {
  if (issuer.stagingUrl === null) return false
  if (blame === 'validation') return order.isRehearsal || certificate.failures + 1 >= REHEARSE_AFTER
  // A staging directory that has a fault of its own holds nothing up: production is asked next.
  return !order.isRehearsal && certificate.isRehearsing
}

/** Since when none of its names leads here; null while one does, or that is not known. */
async function departedSince(work: Work, certificate: store.WorkedCertificate): Promise<Date | null> {
  for (const { id } of certificate.hostnames) {
    const where = await work.whereabouts(id).catch(() => 'unknown' as const)
    if (where === 'here') return null
    if (where === 'unknown') return certificate.departedAt
  }
  return certificate.departedAt ?? work.now()
}

/** A name that was given up is looked for once a day, and comes back by itself. Returns whether it is back. */
export async function lookForReturn(work: Work, certificate: store.WorkedCertificate): Promise<boolean> {
  const isBack =
    (await departedSince(work, { ...certificate, departedAt: certificate.departedAt ?? work.now() })) === null
  if (!isBack) {
    const days = DEPARTED_DAYS
    const problem = { ...pauses.gone(certificate.names, days), at: work.now().toISOString() }
    await commit(work, (tx) =>
      store.updateCertificate(tx, certificate.id, { dueAt: later(work, DAY_MS), problem, ...store.noLease }),
    )
    return false
  }
  await commit(work, async (tx) => {
    const state = certificate.activeVersion === null ? 'wanted' : 'expired'
    await store.updateCertificate(tx, certificate.id, {
      state,
      departedAt: null,
      failedChallenge: null,
      ...store.noProblem,
    })
    await tell(tx, certificate, 'returned')
  })
  return true
}
