import type { Identifier } from './identifier.ts'

/** Status that goes with each problem type (RFC 8555 section 6.7, RFC 9773 section 7.4, draft-ietf-acme-profiles). */
const statuses = {
  accountDoesNotExist: 400,
  alreadyReplaced: 409,
  alreadyRevoked: 400,
  badCSR: 400,
  badNonce: 400,
  badPublicKey: 400,
  badRevocationReason: 400,
  badSignatureAlgorithm: 400,
  caa: 403,
  connection: 400,
  dns: 400,
  externalAccountRequired: 403,
  incorrectResponse: 403,
  invalidContact: 400,
  invalidProfile: 400,
  malformed: 400,
  orderNotReady: 403,
  rateLimited: 429,
  rejectedIdentifier: 400,
  serverInternal: 500,
  tls: 400,
  unauthorized: 403,
  unsupportedContact: 400,
  unsupportedIdentifier: 400,
  userActionRequired: 403,
} as const

/** The last part of `urn:ietf:params:acme:error:...`. */
export type ProblemType = keyof typeof statuses

/** A problem of one identifier of a request (RFC 8555 section 6.7.1). */
export type Subproblem = { readonly type: ProblemType; readonly detail: string; readonly identifier: Identifier }

type Extras = {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly subproblems?: readonly Subproblem[]
  /** Further members of the document, such as `algorithms`. */
  readonly members?: Readonly<Record<string, unknown>>
}

/** Thrown where a request ends, and kept where a challenge or an order failed. */
export class AcmeProblem extends Error {
  readonly type: ProblemType
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly subproblems: readonly Subproblem[]
  readonly members: Readonly<Record<string, unknown>>

  constructor(type: ProblemType, detail: string, extras: Extras = {}) {
    super(detail)
    this.type = type
    this.status = extras.status ?? statuses[type]
    this.headers = extras.headers ?? {}
    this.subproblems = extras.subproblems ?? []
    this.members = extras.members ?? {}
  }

  /** The document (RFC 7807) as it stands in an answer, a challenge's or an order's `error`. */
  document(): Record<string, unknown> {
    return {
      type: urn(this.type),
      detail: this.message,
      status: this.status,
      ...this.members,
      ...(this.subproblems.length === 0
        ? {}
        : { subproblems: this.subproblems.map((item) => ({ ...item, type: urn(item.type) })) }),
    }
  }
}

/** The full name of a problem type. */
export function urn(type: ProblemType): string {
  return `urn:ietf:params:acme:error:${type}`
}
