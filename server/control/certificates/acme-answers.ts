import type { Authorization, Order } from 'acme-client'
import { readProblem } from './acme-problem.ts'
import {
  type ChallengeType,
  challengeTypes,
  type DirectoryMeta,
  IssuerProblem,
  ownProblems,
  type RemoteAuthorization,
  type RemoteChallenge,
  type RemoteOrder,
} from './issuer.ts'

/** A challenge's token (RFC 8555 section 8.1): base64url, it becomes part of a path and a key. */
const TOKEN = /^[A-Za-z0-9_-]{16,200}$/
/** More challenges, profiles or names in one answer are no answer that can be meant. */
const MAX_ITEMS = 100

/** Reads an order. Throws `IssuerProblem` for one without its URLs. */
export function toRemoteOrder(order: Order, retryAfterMs: number | null): RemoteOrder {
  const { url, status, finalize, authorizations, certificate, expires } = order
  if (typeof url !== 'string' || typeof finalize !== 'string' || !Array.isArray(authorizations))
    throw malformed('an order without its URLs')
  return {
    url,
    state: status,
    finalizeUrl: finalize,
    authorizationUrls: authorizations.slice(0, MAX_ITEMS),
    certificateUrl: certificate ?? null,
    expiresAt: expires === undefined || Number.isNaN(Date.parse(expires)) ? null : new Date(expires),
    retryAfterMs,
  }
}

/**
 * Reads an authorization; challenges of other types are left out. `thumbprint` is that of the account's
 * key (RFC 8555 section 8.1). Throws `IssuerProblem`.
 */
export function toRemoteAuthorization(authorization: Authorization, thumbprint: string): RemoteAuthorization {
  const { identifier, challenges, wildcard } = authorization as Partial<Authorization>
  if (typeof identifier?.value !== 'string') throw malformed('an authorization without a name')
  const offered = Array.isArray(challenges) ? challenges.slice(0, MAX_ITEMS) : []
  const failed = offered.map((item) => readProblem(item.error)).find((problem) => problem !== null)
  return {
    url: authorization.url,
    name: identifier.value.toLowerCase(),
    isWildcard: wildcard === true,
    isValid: authorization.status === 'valid',
    challenges: offered.flatMap((item) => toRemoteChallenge(item, thumbprint)),
    error: failed == null ? null : new IssuerProblem(failed),
  }
}

type OfferedChallenge = {
  readonly type: string
  readonly url: string
  readonly status: string
  readonly token?: unknown
}

function toRemoteChallenge(challenge: OfferedChallenge, thumbprint: string): RemoteChallenge[] {
  const type = challengeTypes.find((known) => known === challenge.type)
  if (type === undefined || typeof challenge.url !== 'string') return []
  const isSubmitted = challenge.status !== 'pending'
  if (type === 'dns-persist-01') return [{ ...persisting(challenge), isSubmitted }]
  const { token } = challenge
  if (typeof token !== 'string' || !TOKEN.test(token)) throw malformed('a challenge with an unusable token')
  return [
    { type, url: challenge.url, token, keyAuthorization: `${token}.${thumbprint}`, isSubmitted, issuerDomains: [] },
  ]
}

function persisting(challenge: OfferedChallenge): Omit<RemoteChallenge, 'isSubmitted'> {
  const domains = (challenge as unknown as Record<string, unknown>)['issuer-domain-names']
  const issuerDomains = Array.isArray(domains) ? domains.filter((item) => typeof item === 'string') : []
  const type: ChallengeType = 'dns-persist-01'
  return { type, url: challenge.url, token: '', keyAuthorization: '', issuerDomains: issuerDomains.slice(0, 10) }
}

/** Reads a directory. Throws `IssuerProblem` for what is none. */
export function parseMeta(directory: unknown): DirectoryMeta {
  const body = directory as { newOrder?: unknown; renewalInfo?: unknown; meta?: Record<string, unknown> } | null
  if (typeof body !== 'object' || body === null || typeof body.newOrder !== 'string')
    throw malformed('this URL is no ACME directory')
  const meta = body.meta ?? {}
  const { profiles, caaIdentities } = meta
  return {
    termsOfService: typeof meta.termsOfService === 'string' ? meta.termsOfService : null,
    externalAccountRequired: meta.externalAccountRequired === true,
    profiles: typeof profiles === 'object' && profiles !== null ? Object.keys(profiles).slice(0, MAX_ITEMS) : null,
    caaIdentities: Array.isArray(caaIdentities)
      ? caaIdentities.filter((item): item is string => typeof item === 'string').slice(0, MAX_ITEMS)
      : [],
    hasRenewalInfo: typeof body.renewalInfo === 'string',
  }
}

/** Whatever a call threw, as the typed problem. */
export function asProblem(error: unknown): IssuerProblem {
  if (error instanceof IssuerProblem) return error
  return malformed(error instanceof Error ? error.message : String(error), error)
}

/** An answer that no ACME server would give. */
export function malformed(detail: string, cause?: unknown): IssuerProblem {
  return new IssuerProblem({ type: ownProblems.malformedAnswer, detail, cause })
}
