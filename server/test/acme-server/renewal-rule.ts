import type { Certificate } from './state.ts'

/** A suggested window, ms since 1970 (RFC 9773 section 4.2). */
export type RenewalWindow = { readonly start: number; readonly end: number; readonly explanationUrl?: string }

/** What a rule may look at. */
export type RenewalSubject = Pick<Certificate, 'certId' | 'names' | 'notBefore' | 'notAfter' | 'revoked'>

/** Chooses the window of a certificate; null: 404, as if the CA knew nothing. */
export type RenewalRule = (certificate: RenewalSubject, now: number) => RenewalWindow | null

/** The windows that are told now, changed while the server runs. */
export type Renewals = {
  rule: RenewalRule
  /** Windows of single certificates, by certID; before the rule. */
  readonly windows: Map<string, RenewalWindow>
  /** `Retry-After` of an answer, seconds. */
  retryAfterSeconds: number
}

/** Let's Encrypt asks to come back after six hours. */
const RETRY_AFTER_SECONDS = 21_600
/** The first half of the last third of the lifetime; what is revoked is due at once (RFC 9773 section 4.2). */
export const lastThird: RenewalRule = ({ notBefore, notAfter, revoked }) => {
  const lifetime = notAfter - notBefore
  if (revoked !== null) return { start: revoked.at - 3_600_000, end: revoked.at }
  return { start: notBefore + (lifetime * 2) / 3, end: notBefore + (lifetime * 5) / 6 }
}

export function createRenewals(rule: RenewalRule = lastThird): Renewals {
  return { rule, windows: new Map(), retryAfterSeconds: RETRY_AFTER_SECONDS }
}
