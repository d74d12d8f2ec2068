import { type CertificateProblem, pauses } from './problems.ts'
import { earliestRenewal } from './schedule.ts'

/** An issuer as planning sees it. */
export type PlannedIssuer = {
  readonly id: string
  readonly kind: 'acme' | 'local'
  readonly isEnabled: boolean
  readonly priority: number
}

/** A certificate with all that decides about it. */
export type PlannedCertificate = {
  readonly names: readonly string[]
  readonly state: string
  readonly source: 'issued' | 'uploaded'
  readonly active: { readonly issuerId: string | null; readonly notBefore: Date; readonly notAfter: Date } | null
  readonly openOrder: { readonly id: string; readonly issuerId: string; readonly expiresAt: Date | null } | null
  /** Ownership states of the hostnames that use it. */
  readonly hostnames: readonly string[]
}

/** Why an order is placed. */
export type OrderReason = 'first' | 'renewal' | 'reissue'

/** What is to be done with one due certificate. */
export type Action =
  /** No hostname uses it (any more). */
  | { readonly kind: 'retire' }
  | { readonly kind: 'pause'; readonly problem: CertificateProblem }
  /** Go on with the open order. */
  | { readonly kind: 'resume'; readonly orderId: string }
  /** Give the open order up, then look again. */
  | { readonly kind: 'abandon'; readonly orderId: string }
  | { readonly kind: 'order'; readonly issuerId: string; readonly reason: OrderReason }
  /** It is fresh: look again then. */
  | { readonly kind: 'wait'; readonly until: Date }
  /** Nothing to do: an uploaded or a finished certificate. */
  | { readonly kind: 'rest' }

const finished = new Set(['retired', 'revoked'])

/**
 * Decides about a certificate whose time has come (its `dueAt`). Being due alone orders nothing: a
 * fresh certificate is left alone, whoever woke it. Pure.
 */
export function planCertificate(certificate: PlannedCertificate, issuers: readonly PlannedIssuer[], now: Date): Action {
  if (finished.has(certificate.state) || certificate.source === 'uploaded') return { kind: 'rest' }
  const { openOrder, hostnames } = certificate
  const isProven = hostnames.includes('verified')
  if (!isProven && openOrder !== null) return { kind: 'abandon', orderId: openOrder.id }
  if (hostnames.every((state) => state === 'disputed' || state === 'released')) return { kind: 'retire' }
  if (!isProven) return { kind: 'pause', problem: pauses.ownership(certificate.names) }
  const issuer = chooseIssuer(certificate, issuers)
  if (openOrder !== null) return planOpenOrder(openOrder, issuer, now)
  if (issuer !== null) return planOrder(certificate, issuer, now)
  const isAnyEnabled = issuers.some((item) => item.isEnabled)
  return { kind: 'pause', problem: isAnyEnabled ? pauses.wildcard(certificate.names) : pauses.noIssuer() }
}

function planOpenOrder(
  order: NonNullable<PlannedCertificate['openOrder']>,
  issuer: PlannedIssuer | null,
  now: Date,
): Action {
  const isStale = order.expiresAt !== null && order.expiresAt <= now
  const isOfAnother = issuer?.id !== order.issuerId
  return { kind: isStale || isOfAnother ? 'abandon' : 'resume', orderId: order.id }
}

function planOrder({ active }: PlannedCertificate, issuer: PlannedIssuer, now: Date): Action {
  if (active === null) return { kind: 'order', issuerId: issuer.id, reason: 'first' }
  if (active.issuerId !== issuer.id) return { kind: 'order', issuerId: issuer.id, reason: 'reissue' }
  const until = earliestRenewal(active.notBefore, active.notAfter)
  return until > now ? { kind: 'wait', until } : { kind: 'order', issuerId: issuer.id, reason: 'renewal' }
}

/**
 * The issuer for a certificate: the enabled one with the lowest number. A wildcard cannot be proven
 * by http-01, so it stays with the issuer that it has, if that one can still issue it.
 */
export function chooseIssuer(
  certificate: Pick<PlannedCertificate, 'names' | 'active'>,
  issuers: readonly PlannedIssuer[],
): PlannedIssuer | null {
  const enabled = issuers.filter((issuer) => issuer.isEnabled).sort((a, b) => a.priority - b.priority)
  const [preferred] = enabled
  if (preferred === undefined) return null
  if (canIssue(preferred, certificate.names)) return preferred
  const present = enabled.find((issuer) => issuer.id === certificate.active?.issuerId)
  return present !== undefined && canIssue(present, certificate.names) ? present : null
}

function canIssue(issuer: PlannedIssuer, names: readonly string[]): boolean {
  return issuer.kind === 'local' || names.every((name) => !name.startsWith('*.'))
}
