import { chooseIssuer, type IssuerChoiceFacts, type PlannedIssuer } from './choose-issuer.ts'
import { type CertificateProblem, pauses } from './problems.ts'
import { isUrgent, type RenewalWindow, renewalTime } from './renewal.ts'

/** A finalized order was paid for: it is not given up for another issuer before this time is over. */
const FINALIZED_PATIENCE_MS = 3_600_000
/** A renewal that is not urgent waits so long for its own issuer before it goes to the next one. */
const RENEWAL_PATIENCE_MS = 3_600_000

/** What is served now, with what was planned for it. */
export type PlannedVersion = {
  readonly issuerId: string | null
  readonly notBefore: Date
  readonly notAfter: Date
  /** Its revocation was asked for: it is replaced at once. */
  readonly revocationWantedAt?: Date | null
}

/** The attempt that is under way. */
export type PlannedOrder = {
  readonly id: string
  readonly issuerId: string
  readonly expiresAt: Date | null
  readonly createdAt: Date
  /** The CA has the request for the certificate already. */
  readonly isFinalized: boolean
}

/** A certificate with all that decides about it. */
export type PlannedCertificate = IssuerChoiceFacts & {
  readonly state: string
  readonly source: 'issued' | 'uploaded'
  readonly active: PlannedVersion | null
  readonly openOrder: PlannedOrder | null
  /** Ownership states of the hostnames that use it. */
  readonly hostnames: readonly string[]
  readonly renewAt: Date | null
  readonly window: RenewalWindow | null
  /** When the CA is asked for its window next; null: it has none to give. */
  readonly pollAt: Date | null
  /** Production refused it again and again: the next order goes to the staging directory. */
  readonly isRehearsing: boolean
  /** It was rolled back: nothing is renewed before. */
  readonly heldUntil?: Date | null
}

/** Why an order is placed. */
export type OrderReason = 'first' | 'renewal' | 'reissue'

/** What an order is to be. `urgent` ones go before all others. */
export type PlannedAttempt = {
  readonly issuerId: string
  readonly reason: OrderReason
  readonly isUrgent: boolean
  /** At the issuer's staging directory, if it has one. */
  readonly isRehearsal: boolean
}

/** What is to be done with one due certificate. */
export type Action =
  /** No hostname uses it (any more). */
  | { readonly kind: 'retire' }
  /** Its name led elsewhere for long: look whether it is back. */
  | { readonly kind: 'look' }
  | { readonly kind: 'pause'; readonly problem: CertificateProblem }
  /** Go on with the open order. */
  | { readonly kind: 'resume'; readonly orderId: string }
  /** Give the open order up, then look again. */
  | { readonly kind: 'abandon'; readonly orderId: string }
  | ({ readonly kind: 'order' } & PlannedAttempt)
  /** Ask the CA when it wants it renewed, then look again. */
  | { readonly kind: 'ask'; readonly issuerId: string }
  /** It is fresh, or no issuer works now: look again then. */
  | { readonly kind: 'wait'; readonly until: Date; readonly isFresh: boolean }
  /** Nothing to do: an uploaded or a finished certificate. */
  | { readonly kind: 'rest' }

/**
 * Decides about a certificate whose time has come (its `dueAt`). Being due alone orders nothing: a
 * fresh certificate is left alone, whoever woke it. Pure.
 */
export function planCertificate(certificate: PlannedCertificate, issuers: readonly PlannedIssuer[], now: Date): Action {
  const { openOrder, hostnames, state } = certificate
  if (state === 'retired' && hostnames.includes('verified')) return { kind: 'look' }
  if (state === 'retired' || state === 'revoked' || certificate.source === 'uploaded') return { kind: 'rest' }
  const isProven = hostnames.includes('verified')
  if (!isProven && openOrder !== null) return { kind: 'abandon', orderId: openOrder.id }
  if (hostnames.every((item) => item === 'disputed' || item === 'released')) return { kind: 'retire' }
  if (!isProven) return { kind: 'pause', problem: pauses.ownership(certificate.names) }
  return openOrder === null
    ? planWithoutOrder(certificate, issuers, now)
    : planOpenOrder(openOrder, certificate, issuers, now)
}

function planOpenOrder(
  order: PlannedOrder,
  certificate: PlannedCertificate,
  issuers: readonly PlannedIssuer[],
  now: Date,
): Action {
  const abandon = { kind: 'abandon', orderId: order.id } as const
  if (order.expiresAt !== null && order.expiresAt <= now) return abandon
  const resume = { kind: 'resume', orderId: order.id } as const
  const isItsIssuerEnabled = issuers.some(({ id, isEnabled }) => id === order.issuerId && isEnabled)
  if (order.isFinalized && isItsIssuerEnabled && ageMs(order.createdAt, now) < FINALIZED_PATIENCE_MS) return resume
  const choice = chooseIssuer(certificate, issuers, now)
  if (choice.kind === 'none') return abandon
  if (choice.issuer.id === order.issuerId)
    return choice.kind === 'issuer' || cannotWait(certificate.active, choice.until, now)
      ? resume
      : { kind: 'wait', until: choice.until, isFresh: false }
  if (!isItsIssuerEnabled || !mayWait(certificate, order.issuerId, issuers, now)) return abandon
  const until = issuers.find(({ id }) => id === order.issuerId)?.circuitOpenUntil ?? null
  return until === null || until <= now ? resume : { kind: 'wait', until, isFresh: false }
}

function planWithoutOrder(certificate: PlannedCertificate, issuers: readonly PlannedIssuer[], now: Date): Action {
  const { active, heldUntil } = certificate
  const isToGo = isToBeRevoked(active)
  if (heldUntil != null && heldUntil > now && !isToGo) return { kind: 'wait', until: heldUntil, isFresh: true }
  const choice = chooseIssuer(certificate, issuers, now)
  if (choice.kind === 'none')
    return {
      kind: 'pause',
      problem: choice.reason === 'wildcard' ? pauses.wildcard(certificate.names) : pauses.noIssuer(),
    }
  if (active !== null && !isToGo && !isMisplaced(active, choice.issuer, issuers)) {
    const fresh = planFresh(certificate, active, issuers, now)
    if (fresh !== null) return fresh
  }
  if (choice.kind === 'later' && !cannotWait(active, choice.until, now))
    return { kind: 'wait', until: choice.until, isFresh: false }
  return planOrder(certificate, choice.issuer, issuers, now)
}

function planOrder(
  certificate: PlannedCertificate,
  issuer: PlannedIssuer,
  issuers: readonly PlannedIssuer[],
  now: Date,
): Action {
  const { active, isRehearsing } = certificate
  const attempt = { kind: 'order', issuerId: issuer.id, isRehearsal: isRehearsing } as const
  if (active === null) return { ...attempt, reason: 'first', isUrgent: false }
  if (isToBeRevoked(active)) return { ...attempt, reason: 'reissue', isUrgent: true }
  const isMoving = isMisplaced(active, issuer, issuers)
  if (!isMoving && active.issuerId !== issuer.id && active.issuerId !== null) {
    const own = issuers.find(({ id }) => id === active.issuerId)
    const until = own?.circuitOpenUntil ?? null
    if (until !== null && until > now && mayWait(certificate, active.issuerId, issuers, now))
      return { kind: 'wait', until, isFresh: false }
  }
  return { ...attempt, reason: isMoving ? 'reissue' : 'renewal', isUrgent: isUrgent(active, now) }
}

function isToBeRevoked(active: PlannedVersion | null): boolean {
  return active?.revocationWantedAt != null
}

/** Null when the time to renew has come. */
function planFresh(
  certificate: PlannedCertificate,
  active: PlannedVersion,
  issuers: readonly PlannedIssuer[],
  now: Date,
): Action | null {
  const time = renewalTime({ ...active, renewAt: certificate.renewAt, window: certificate.window })
  if (time <= now) return null
  const { pollAt } = certificate
  const issuer = issuers.find(({ id }) => id === active.issuerId)
  if (pollAt === null || issuer?.kind !== 'acme') return { kind: 'wait', until: time, isFresh: true }
  const { circuitOpenUntil } = issuer
  const isReachable = circuitOpenUntil === null || circuitOpenUntil <= now
  if (pollAt <= now && isReachable) return { kind: 'ask', issuerId: issuer.id }
  const next = isReachable ? pollAt : (circuitOpenUntil ?? pollAt)
  return { kind: 'wait', until: next < time ? next : time, isFresh: true }
}

/** Waiting for a CA that is left alone would use up more than half of what is left: it is tried all the same. */
function cannotWait(active: PlannedVersion | null, until: Date, now: Date): boolean {
  if (active === null || active.notAfter <= now) return false
  return active.notAfter.getTime() - until.getTime() < ageMs(now, active.notAfter) / 2
}

/** The local CA is only a stand-in, and an issuer that was switched off is to be left. */
function isMisplaced(active: PlannedVersion, chosen: PlannedIssuer, issuers: readonly PlannedIssuer[]): boolean {
  if (active.issuerId === chosen.id) return false
  const present = issuers.find(({ id }) => id === active.issuerId)
  return present === undefined || !present.isEnabled || (present.kind === 'local' && chosen.kind === 'acme')
}

/** A renewal that is not urgent waits a while for its own CA, whose renewals are not counted there. */
function mayWait(
  { active }: PlannedCertificate,
  issuerId: string,
  issuers: readonly PlannedIssuer[],
  now: Date,
): boolean {
  if (active === null || active.issuerId !== issuerId || isUrgent(active, now)) return false
  const since = issuers.find(({ id }) => id === issuerId)?.failingSince ?? null
  return since !== null && ageMs(since, now) < RENEWAL_PATIENCE_MS
}

function ageMs(since: Date, now: Date): number {
  return now.getTime() - since.getTime()
}
