import type { IssuerProblem } from './issuer.ts'
import type { LimitName } from './limits.ts'
import type { RetryKind } from './schedule.ts'

/** Why a certificate could not be had, as it is kept in the rows and shown. */
export type CertificateProblem = { readonly code: string; readonly detail: string }

/** A problem with the way in which it is tried again. */
export type Failure = CertificateProblem & {
  readonly retry: RetryKind
  /** What the CA asked to wait. */
  readonly retryAfterMs: number | null
  /** Whether the attempt is over: the next one places a new order. */
  readonly endsOrder: boolean
  readonly blame: Blame
}

/**
 * Whose fault it is, and so what follows: `validation` counts against the name at the CA and is
 * rehearsed after a while; `refusal` sends this certificate to the next issuer; `limit` waits for the
 * CA's time; `issuer` counts in the circuit of the CA; `admin` and `own` are ours.
 */
export type Blame = 'validation' | 'refusal' | 'limit' | 'issuer' | 'admin' | 'own'

/** An attempt failed for a reason that our own side found. */
export class CertificateError extends Error {
  override name = 'CertificateError'
  readonly failure: Failure

  constructor(failure: Failure, cause?: unknown) {
    super(`${failure.code}: ${failure.detail}`, { cause })
    this.failure = failure
  }
}

type Row = {
  readonly code: string
  readonly retry: RetryKind
  readonly endsOrder: boolean
  readonly blame: Blame
  readonly text: (names: string, detail: string) => string
}

const ADMIN = 'Your administrator has to settle this.'

/** The CA looked, and the tenant's own DNS or server did not answer as it must. */
const validation = (code: string, text: Row['text']): Row => ({
  code,
  retry: 'backoff',
  endsOrder: true,
  blame: 'validation',
  text,
})
/** This CA does not issue for the name; another may. */
const refusal = (code: string, text: Row['text']): Row => ({
  code,
  retry: 'backoff',
  endsOrder: true,
  blame: 'refusal',
  text,
})
/** The CA or our own side is at fault: the same order goes on soon. */
const issuerSide = (code: string, text: Row['text']): Row => ({
  code,
  retry: 'soon',
  endsOrder: false,
  blame: 'issuer',
  text,
})
/** An administrator must settle it; looked at again each hour. */
const adminSide = (code: string, text: Row['text']): Row => ({
  code,
  retry: 'hourly',
  endsOrder: true,
  blame: 'admin',
  text,
})

/** By the last part of the problem type (RFC 8555 section 6.7). */
const table: Readonly<Record<string, Row>> = {
  connection: validation(
    'CONNECTION',
    (names, detail) =>
      `The CA could not reach ${names} over HTTP (port 80). Point its A and AAAA records at this server only, and let port 80 through. The CA said: ${detail}`,
  ),
  dns: validation(
    'DNS',
    (names, detail) =>
      `The CA could not look ${names} up in DNS. Check that the name has an A or AAAA record and that its name servers answer. The CA said: ${detail}`,
  ),
  unauthorized: validation(
    'UNAUTHORIZED',
    (names, detail) =>
      `The CA reached another server when it asked for ${names}. Remove A and AAAA records that do not point here, and any proxy or CDN in front. The CA said: ${detail}`,
  ),
  incorrectResponse: validation(
    'UNAUTHORIZED',
    (names, detail) =>
      `The CA got a wrong answer when it asked for ${names}. Remove A and AAAA records that do not point here, and any proxy or CDN in front. The CA said: ${detail}`,
  ),
  tls: validation(
    'TLS',
    (names, detail) =>
      `The CA was sent on to HTTPS for ${names} and the TLS connection failed. Let plain HTTP for /.well-known/acme-challenge/ through unchanged. The CA said: ${detail}`,
  ),
  caa: refusal(
    'CAA',
    (names, detail) =>
      `A CAA record of ${names} or of a name above forbids this CA. Add the CA to the CAA record, or remove the record. The CA said: ${detail}`,
  ),
  rejectedIdentifier: refusal(
    'REJECTED_IDENTIFIER',
    (names, detail) =>
      `The CA does not issue for ${names}. Use another name, or ask your administrator for another CA. The CA said: ${detail}`,
  ),
  unsupportedIdentifier: refusal(
    'REJECTED_IDENTIFIER',
    (names, detail) => `The CA does not issue for names such as ${names}. Use another name. The CA said: ${detail}`,
  ),
  rateLimited: {
    code: 'RATE_LIMITED',
    retry: 'backoff',
    endsOrder: true,
    blame: 'limit',
    text: (names, detail) =>
      `The CA limits how many certificates it issues, and ${names} is over that limit. Nothing is to be done: it is tried again when the CA allows. The CA said: ${detail}`,
  },
  badCSR: refusal('BAD_CSR', (names, detail) => `The CA refused the request for ${names}: ${detail}`),
  malformed: refusal('REFUSED', (names, detail) => `The CA refused the request for ${names}: ${detail}`),
  orderNotReady: issuerSide('ISSUER_BUSY', (names) => `The CA is not ready to issue for ${names}; it is asked again.`),
  badNonce: issuerSide('ISSUER_BUSY', (names) => `The CA did not accept our request for ${names}; it is asked again.`),
  serverInternal: issuerSide(
    'ISSUER_ERROR',
    (names, detail) =>
      `The CA has a fault of its own, so there is no new certificate for ${names} yet. It is asked again soon. The CA said: ${detail}`,
  ),
  unreachable: issuerSide(
    'ISSUER_UNREACHABLE',
    (names, detail) =>
      `The CA does not answer (${detail}), so there is no new certificate for ${names} yet. It is asked again soon.`,
  ),
  malformedAnswer: issuerSide(
    'ISSUER_ERROR',
    (names, detail) =>
      `The CA gave an answer that is not understood (${detail}), so there is no new certificate for ${names} yet.`,
  ),
  gone: {
    code: 'ORDER_LOST',
    retry: 'again',
    endsOrder: true,
    blame: 'own',
    text: (names) => `The CA does not know the order for ${names} any more; a new one is placed.`,
  },
  accountDoesNotExist: {
    code: 'ACCOUNT_LOST',
    retry: 'again',
    endsOrder: true,
    blame: 'own',
    text: (names) => `The CA does not know our account any more; a new one is made, then ${names} is ordered again.`,
  },
  termsNotAgreed: adminSide(
    'TERMS_NOT_AGREED',
    (names, detail) =>
      `No certificate for ${names}: ${detail}. ${ADMIN} (Administration, Issuers, agree to the terms.)`,
  ),
  externalAccountRequired: adminSide(
    'EXTERNAL_ACCOUNT_REQUIRED',
    (names, detail) => `The CA wants an external account binding before it issues for ${names}: ${detail}. ${ADMIN}`,
  ),
  userActionRequired: adminSide(
    'USER_ACTION_REQUIRED',
    (names, detail) => `The CA asks for something before it issues for ${names}: ${detail}. ${ADMIN}`,
  ),
  invalidContact: adminSide(
    'INVALID_CONTACT',
    (_names, detail) => `The CA refuses the e-mail address: ${detail}. ${ADMIN}`,
  ),
  unsupportedContact: adminSide(
    'INVALID_CONTACT',
    (_names, detail) => `The CA refuses the e-mail address: ${detail}. ${ADMIN}`,
  ),
  clockSkew: {
    code: 'CLOCK_SKEW',
    retry: 'soon',
    endsOrder: false,
    blame: 'admin',
    text: (names, detail) => `No certificate for ${names} yet: ${detail}. ${ADMIN} (Set the clock, by NTP.)`,
  },
  dnssec: validation(
    'DNSSEC',
    (names, detail) =>
      `DNSSEC of ${names} is broken, so the CA believes no answer. Mend the signatures, or remove the DS record at the registrar. The CA said: ${detail}`,
  ),
  dnsProof: validation(
    'DNS_PROOF',
    (names, detail) =>
      `The CA did not find the proof of ${names} in DNS. Its servers may still have remembered that there was none; it is tried again. Check that _acme-challenge of the name, or the CNAME there, leads to a zone of the DNS provider. The CA said: ${detail}`,
  ),
  invalidProfile: adminSide(
    'INVALID_PROFILE',
    (names, detail) =>
      `The CA does not know the profile that is set, so ${names} has no certificate: ${detail}. ${ADMIN}`,
  ),
}

const unknown = refusal('REFUSED', (names, detail) => `The CA refused a certificate for ${names}: ${detail}`)

/** What a CA's problem means for the certificate of `names`, which were to be proven by `proofType`. A server-side status is never held against the tenant. */
export function failureOf(problem: IssuerProblem, names: readonly string[], proofType: string | null = null): Failure {
  // A compound problem (RFC 8555 section 6.7.1) says less than its first part.
  const [first] = problem.subproblems
  const type = suffix(problem.type) === 'compound' && first !== undefined ? first.type : problem.type
  const kind = proofType === 'dns-01' && ['unauthorized', 'dns'].includes(suffix(type)) ? 'dnsProof' : suffix(type)
  const row = table[kind] ?? (problem.status >= 500 ? table.serverInternal : undefined) ?? unknown
  const text = row.text(first?.name ?? names.join(', '), problem.detail.replace(/\.$/, ''))
  return {
    code: row.code,
    detail: text,
    retry: row.retry,
    endsOrder: row.endsOrder,
    blame: row.blame,
    retryAfterMs: problem.retryAfterMs,
  }
}

/** Whether the account at the CA is gone, so that another is to be made (RFC 8555 section 6.7). */
export function isAccountLost(problem: IssuerProblem): boolean {
  return suffix(problem.type) === 'accountDoesNotExist'
}

const ours = { retry: 'backoff', retryAfterMs: null, endsOrder: true, blame: 'own' } as const

/** Failures that our own side finds. */
export const ownFailures = {
  unconfirmed: (names: readonly string[]): Failure => ({
    code: 'EDGES_UNCONFIRMED',
    detail: `No edge has confirmed yet that it answers the CA's question for ${names.join(', ')}. Check that the listener runs; it is tried again soon.`,
    ...ours,
    retry: 'soon',
    endsOrder: false,
  }),
  notProven: (names: readonly string[]): Failure => ({
    code: 'OWNERSHIP_NOT_PROVEN',
    detail: `The proof of ownership of ${names.join(', ')} was not found any more, so no certificate is ordered. Restore the DNS record that the hostname's page shows.`,
    ...ours,
  }),
  noChallenge: (name: string): Failure => ({
    code: 'NO_CHALLENGE',
    detail: `The CA offers no way to prove ${name} that works here. ${ADMIN}`,
    ...ours,
  }),
  unready: (
    names: readonly string[],
    finding: CertificateProblem & { readonly isIssuersRefusal: boolean },
  ): Failure => ({
    code: finding.code,
    detail: `No certificate for ${names.join(', ')} was ordered, since the CA would refuse it: ${finding.detail}`,
    ...ours,
    blame: finding.isIssuersRefusal ? 'refusal' : 'own',
  }),
  dnsProvider: (names: readonly string[], reason: string, retryAfterMs: number | null): Failure => ({
    code: 'DNS_PROVIDER',
    detail: `The record that proves ${names.join(', ')} could not be written: ${reason}. The same order goes on when it can be.`,
    ...ours,
    retryAfterMs,
    endsOrder: false,
  }),
  unusable: (names: readonly string[], reason: string): Failure => ({
    code: 'CERTIFICATE_UNUSABLE',
    detail: `The CA issued a certificate for ${names.join(', ')} that cannot be served: ${reason}. The old one stays in use.`,
    ...ours,
  }),
  refused: (names: readonly string[]): Failure => ({
    code: 'REFUSED',
    detail: `The CA refused the order for ${names.join(', ')} and gave no reason.`,
    ...ours,
  }),
  internal: (names: readonly string[]): Failure => ({
    code: 'INTERNAL',
    detail: `Something went wrong on our side while the certificate for ${names.join(', ')} was ordered. It is tried again.`,
    ...ours,
    endsOrder: false,
  }),
} as const

/** A limit of the CA that the ledger knows to be used up: it is not asked at all. */
export function limitProblem(
  names: readonly string[],
  { limit, key, until }: { readonly limit: LimitName; readonly key: string; readonly until: Date },
): CertificateProblem {
  const time = `${until.toISOString().slice(0, 16).replace('T', ' ')} UTC`
  const what = {
    newOrders: 'orders of this installation',
    certificatesPerDomain: `certificates for ${key} in a week`,
    certificatesPerSet: `certificates for just these names in a week`,
    failuresPerName: `failed proofs of ${key} in an hour`,
  }[limit]
  return {
    code: 'LIMIT_USED_UP',
    detail: `The CA allows only so many ${what}, and that is used up. ${names.join(', ')} is ordered by itself at ${time}.`,
  }
}

/** Why a certificate is paused; it goes on by itself when the reason is gone. */
export const pauses = {
  wildcard: (names: readonly string[]): CertificateProblem => ({
    code: 'WILDCARD_NEEDS_DNS',
    detail: `${names.join(', ')}: a wildcard can only be proven in DNS. Add a DNS provider for its domain, or the single names that you need.`,
  }),
  noIssuer: (): CertificateProblem => ({ code: 'NO_ISSUER', detail: `No certificate issuer is enabled. ${ADMIN}` }),
  gone: (names: readonly string[], days: number): CertificateProblem => ({
    code: 'NAME_GONE',
    detail: `${names.join(', ')} has led elsewhere for ${days} days, so no certificate is ordered any more. Point its records here again; the certificate then comes back by itself.`,
  }),
  ownership: (names: readonly string[]): CertificateProblem => ({
    code: 'OWNERSHIP_LAPSED',
    detail: `${names.join(', ')} is not proven any more. Restore the DNS record that the hostname's page shows; the certificate then goes on by itself.`,
  }),
} as const

function suffix(type: string): string {
  return type.slice(type.lastIndexOf(':') + 1)
}
