const HOUR_SECONDS = 3_600
const WEEK_SECONDS = 7 * 24 * HOUR_SECONDS

/**
 * What a CA counts: orders of the account; certificates of a registered domain; certificates of one
 * exact set of names; failed validations of a name.
 */
export const limitNames = ['newOrders', 'certificatesPerDomain', 'certificatesPerSet', 'failuresPerName'] as const

/** One of `limitNames`. */
export type LimitName = (typeof limitNames)[number]

/** So many in a period; what was used comes back evenly over it. */
export type Limit = { readonly capacity: number; readonly periodSeconds: number }

/** The limits of an issuer; null where none is known. */
export type IssuerLimits = { readonly [Name in LimitName]: Limit | null } & {
  /** Orders that say which certificate they replace (RFC 9773) are not counted. */
  readonly exemptsReplacements: boolean
}

/** What an administrator has set otherwise, as `issuer.limits` keeps it. */
export type LimitOverrides = Partial<IssuerLimits>

const none: IssuerLimits = {
  newOrders: null,
  certificatesPerDomain: null,
  certificatesPerSet: null,
  failuresPerName: null,
  exemptsReplacements: false,
}

/** By the host of the directory. Source: letsencrypt.org/docs/rate-limits and /docs/staging-environment (2026-08). */
const known: Readonly<Record<string, IssuerLimits>> = {
  'acme-v02.api.letsencrypt.org': {
    newOrders: { capacity: 300, periodSeconds: 3 * HOUR_SECONDS },
    certificatesPerDomain: { capacity: 50, periodSeconds: WEEK_SECONDS },
    certificatesPerSet: { capacity: 5, periodSeconds: WEEK_SECONDS },
    failuresPerName: { capacity: 5, periodSeconds: HOUR_SECONDS },
    exemptsReplacements: true,
  },
  'acme-staging-v02.api.letsencrypt.org': {
    newOrders: { capacity: 1_500, periodSeconds: 3 * HOUR_SECONDS },
    certificatesPerDomain: { capacity: 30_000, periodSeconds: WEEK_SECONDS },
    certificatesPerSet: { capacity: 30_000, periodSeconds: WEEK_SECONDS },
    failuresPerName: { capacity: 200, periodSeconds: HOUR_SECONDS },
    exemptsReplacements: true,
  },
}

/** The staging directories of CAs that have one, by the host of the production directory. */
const staging: Readonly<Record<string, string>> = {
  'acme-v02.api.letsencrypt.org': 'https://acme-staging-v02.api.letsencrypt.org/directory',
}

/** The limits of an issuer: those that are known of its CA, and what was set otherwise. */
export function limitsOf(issuer: { readonly directoryUrl: string | null; readonly limits: unknown }): IssuerLimits {
  const overrides = typeof issuer.limits === 'object' && issuer.limits !== null ? (issuer.limits as LimitOverrides) : {}
  return { ...(known[hostOf(issuer.directoryUrl)] ?? none), ...overrides }
}

/** The staging directory that belongs to a known production directory, or null. */
export function knownStagingUrl(directoryUrl: string): string | null {
  return staging[hostOf(directoryUrl)] ?? null
}

/**
 * Which limit a CA speaks of in a `rateLimited` problem, by the words that Let's Encrypt uses; null
 * when it cannot be told.
 */
export function limitOf(detail: string): LimitName | null {
  if (/new orders/i.test(detail)) return 'newOrders'
  if (/exact set of (identifiers|domains)/i.test(detail)) return 'certificatesPerSet'
  if (/failed (authorizations|validations)/i.test(detail)) return 'failuresPerName'
  return /certificates .*already issued for/i.test(detail) ? 'certificatesPerDomain' : null
}

function hostOf(url: string | null): string {
  return url !== null && URL.canParse(url) ? new URL(url).hostname : ''
}
