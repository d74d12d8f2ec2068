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

/** An http-01 challenge (RFC 8555 section 8.3). */
export type RemoteChallenge = {
  readonly type: 'http-01'
  readonly url: string
  readonly token: string
  /** What the edges answer. */
  readonly keyAuthorization: string
  /** Whether the issuer was told already that it is answered. */
  readonly isSubmitted: boolean
}

/** An authorization: what is to be proven for one name. */
export type RemoteAuthorization = {
  readonly url: string
  readonly name: string
  readonly isValid: boolean
  /** Null when the issuer offers none that we can answer. */
  readonly challenge: RemoteChallenge | null
  /** Why it failed, when it has. */
  readonly error: IssuerProblem | null
}

/**
 * One CA. Every step can be repeated and is resumable by URLs that the caller keeps; nothing is
 * remembered between calls but the account. All calls throw `IssuerProblem`.
 */
export type Issuer = {
  readonly id: string
  readonly kind: 'acme' | 'local'
  /** Makes the account where the issuer needs one, once; the id to keep in the order, or null. */
  ensureAccount(): Promise<string | null>
  /** Places an order. Not idempotent: the caller keeps the answer's URL before it goes on. */
  placeOrder(names: readonly string[]): Promise<RemoteOrder>
  readOrder(url: string): Promise<RemoteOrder>
  readAuthorization(url: string): Promise<RemoteAuthorization>
  /** Tells the issuer that the challenge is answered now. */
  submitChallenge(challenge: { readonly url: string; readonly token: string }): Promise<void>
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
  readonly subproblems?: readonly { readonly type: string; readonly detail: string; readonly name: string | null }[]
  readonly cause?: unknown
}

/** Problems that no CA reports by itself. */
export const ownProblems = {
  unreachable: 'urn:nameplate:issuer:unreachable',
  malformedAnswer: 'urn:nameplate:issuer:malformedAnswer',
  termsNotAgreed: 'urn:nameplate:issuer:termsNotAgreed',
  gone: 'urn:nameplate:issuer:gone',
} as const

/** An issuer refused or could not be asked: the problem document (RFC 9457) as data. */
export class IssuerProblem extends Error {
  override name = 'IssuerProblem'
  readonly type: string
  readonly detail: string
  readonly status: number
  readonly retryAfterMs: number | null
  readonly subproblems: readonly { readonly type: string; readonly detail: string; readonly name: string | null }[]

  constructor(options: IssuerProblemOptions) {
    super(`${options.type}: ${options.detail}`, { cause: options.cause })
    this.type = options.type
    this.detail = options.detail
    this.status = options.status ?? 0
    this.retryAfterMs = options.retryAfterMs ?? null
    this.subproblems = options.subproblems ?? []
  }
}
