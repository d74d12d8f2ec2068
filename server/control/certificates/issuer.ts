/** States of an order at the issuer (RFC 8555 section 7.1.6). */
export type RemoteOrderState = 'pending' | 'ready' | 'processing' | 'valid' | 'invalid'

/** An order as the issuer tells it. */
export type RemoteOrder = {
  readonly url: string
  readonly state: RemoteOrderState
  readonly finalizeUrl: string
  readonly authorizationUrls: readonly string[]
  /** There once the state is `valid`. */
  readonly certificateUrl: string | null
  readonly expiresAt: Date | null
  /** How long the issuer asks to wait before the next look. */
  readonly retryAfterMs: number | null
}

/** What an order is placed with. */
export type OrderRequest = {
  /** DNS names, or IP addresses (RFC 8738). */
  readonly names: readonly string[]
  /** The ACME profile that is wanted, or null. */
  readonly profile: string | null
  /** The certificate that this one replaces (`certificateIdentifier`), or null. */
  readonly replaces: string | null
}

/** An order as it was placed: what of the request the issuer did not take is null. */
export type PlacedOrder = RemoteOrder & { readonly profile: string | null; readonly replaces: string | null }

/** The challenge types that can be answered here. */
export const challengeTypes = ['http-01', 'tls-alpn-01', 'dns-01', 'dns-persist-01'] as const

/** One of `challengeTypes`. */
export type ChallengeType = (typeof challengeTypes)[number]

/** One challenge of an authorization (RFC 8555 section 8, RFC 8737, draft-ietf-acme-dns-persist). */
export type RemoteChallenge = {
  readonly type: ChallengeType
  readonly url: string
  /** Empty for dns-persist-01. */
  readonly token: string
  /** `<token>.<thumbprint>`; empty for dns-persist-01. */
  readonly keyAuthorization: string
  /** Whether the issuer was told already that it is answered. */
  readonly isSubmitted: boolean
  /** dns-persist-01 alone: the names by which a record may mean this CA. */
  readonly issuerDomains: readonly string[]
}

/** An authorization: what is to be proven for one name. */
export type RemoteAuthorization = {
  readonly url: string
  /** Without `*.`. */
  readonly name: string
  readonly isWildcard: boolean
  readonly isValid: boolean
  /** Those that can be answered here, as offered. */
  readonly challenges: readonly RemoteChallenge[]
  /** Why it failed, when it has. */
  readonly error: IssuerProblem | null
}

/** When the issuer wants a certificate renewed (RFC 9773 section 4.2). */
export type RenewalInfo = {
  readonly start: Date
  readonly end: Date
  readonly explanationUrl: string | null
  readonly retryAfterMs: number | null
}

/** What the directory says of itself (RFC 8555 section 7.1.1). */
export type DirectoryMeta = {
  readonly termsOfService: string | null
  readonly externalAccountRequired: boolean
  /** Null where the CA has no profiles. */
  readonly profiles: readonly string[] | null
  readonly caaIdentities: readonly string[]
  readonly hasRenewalInfo: boolean
}

/** The account by which orders are placed. */
export type IssuerAccount = { readonly id: string; readonly url: string }

/**
 * One CA. Every step can be repeated and is resumable by URLs that the caller keeps; nothing is
 * remembered between calls but the account. All calls throw `IssuerProblem`.
 */
export type Issuer = {
  readonly id: string
  readonly kind: 'acme' | 'local'
  /** Makes the account where the issuer needs one, once; null where it needs none. */
  ensureAccount(): Promise<IssuerAccount | null>
  /**
   * Places an order. Not idempotent: the caller keeps the answer's URL before it goes on. A profile
   * that the CA does not have (any more) and a `replaces` that it refuses are left out.
   */
  placeOrder(request: OrderRequest): Promise<PlacedOrder>
  /**
   * An order for just these names that the account has placed and that nobody keeps: its placer died
   * before it could. Null where there is none, or the CA tells none. `known` says which URLs are kept.
   */
  findOrder(
    names: readonly string[],
    known: (urls: readonly string[]) => Promise<ReadonlySet<string>>,
  ): Promise<RemoteOrder | null>
  readOrder(url: string): Promise<RemoteOrder>
  readAuthorization(url: string): Promise<RemoteAuthorization>
  /** Tells the issuer that the challenge is answered now. */
  submitChallenge(challenge: { readonly url: string }): Promise<void>
  /** When it wants this certificate (PEM, leaf first) renewed; null where the issuer does not say. */
  renewalInfo(chainPem: string): Promise<RenewalInfo | null>
  finalizeOrder(order: { readonly url: string; readonly finalizeUrl: string }, csrPem: string): Promise<RemoteOrder>
  /** The chain in PEM, leaf first. May be called again and gives the same, or an equivalent, certificate. */
  downloadCertificate(certificateUrl: string, csrPem: string): Promise<string>
  /** Ends idle connections. */
  close(): void
}

/** What an `IssuerProblem` is made of. */
export type IssuerProblemOptions = {
  /** A URN of RFC 8555 section 6.7, or one of `ownProblems`. */
  readonly type: string
  readonly detail: string
  /** HTTP status, 0 when there was no answer. */
  readonly status?: number
  readonly retryAfterMs?: number | null
  /** No answer was seen, and the request may have been carried out all the same; default false. */
  readonly mayHaveTakenEffect?: boolean
  /** The CA's own reference to what happened, for its support. */
  readonly instance?: string | null
  readonly subproblems?: readonly { readonly type: string; readonly detail: string; readonly name: string | null }[]
  readonly cause?: unknown
}

/** Problems that no CA reports by itself. */
export const ownProblems = {
  unreachable: 'urn:nameplate:issuer:unreachable',
  malformedAnswer: 'urn:nameplate:issuer:malformedAnswer',
  termsNotAgreed: 'urn:nameplate:issuer:termsNotAgreed',
  gone: 'urn:nameplate:issuer:gone',
  clockSkew: 'urn:nameplate:issuer:clockSkew',
} as const

/** An issuer refused or could not be asked: the problem document (RFC 9457) as data. */
export class IssuerProblem extends Error {
  override name = 'IssuerProblem'
  readonly type: string
  readonly detail: string
  readonly status: number
  readonly retryAfterMs: number | null
  readonly instance: string | null
  readonly mayHaveTakenEffect: boolean
  readonly subproblems: readonly { readonly type: string; readonly detail: string; readonly name: string | null }[]

  constructor(options: IssuerProblemOptions) {
    super(`${options.type}: ${options.detail}`, { cause: options.cause })
    this.type = options.type
    this.detail = options.detail
    this.status = options.status ?? 0
    this.retryAfterMs = options.retryAfterMs ?? null
    this.instance = options.instance ?? null
    this.mayHaveTakenEffect = options.mayHaveTakenEffect ?? false
    this.subproblems = options.subproblems ?? []
  }
}
