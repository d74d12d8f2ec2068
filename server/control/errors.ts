/**
 * The one catalogue of errors: code -> HTTP status and title. A tenant reads `title` and `detail`;
 * programs read `code`, which never changes its meaning. The cause stays in the log.
 */
export const catalogue = {
  INVALID_INPUT: { status: 400, title: 'The request is not valid' },
  INVALID_CURSOR: { status: 400, title: 'The cursor is not one that this list gave' },
  NAME_INVALID: { status: 400, title: 'This is not a name that can be served' },
  NAME_TOO_LONG: { status: 400, title: 'This name is too long' },
  NAME_IS_ADDRESS: { status: 400, title: 'This is an IP address, not a name' },
  NAME_WILDCARD: { status: 400, title: 'This wildcard is not possible' },
  NAME_RESERVED: { status: 409, title: 'This name is reserved' },
  NAME_PUBLIC_SUFFIX: { status: 400, title: 'This name is a public suffix' },
  NAME_TAKEN: { status: 409, title: 'Another tenant has proven this name' },
  NAME_EXISTS: { status: 409, title: 'You have added this name already' },
  UNAUTHENTICATED: { status: 401, title: 'Please sign in' },
  CREDENTIALS_WRONG: { status: 401, title: 'E-mail or password is wrong' },
  SESSION_ENDED: { status: 401, title: 'Your session has ended; please sign in again' },
  SETUP_LINK_INVALID: { status: 403, title: 'This set-up link is not valid any more' },
  FORBIDDEN: { status: 403, title: 'You may not do this' },
  NOT_FOUND: { status: 404, title: 'There is no such thing' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'This cannot be done here' },
  CONFLICT: { status: 409, title: 'This does not fit what is there now' },
  IN_USE: { status: 409, title: 'This is still in use' },
  ADDRESS_NOT_FREE: { status: 409, title: 'This address is not free' },
  ADDRESS_INVALID: { status: 400, title: 'This is not an IP address that can be used' },
  IDEMPOTENCY_KEY_REUSED: { status: 422, title: 'This idempotency key was used for another request' },
  IDEMPOTENCY_IN_PROGRESS: { status: 409, title: 'The same request is being worked on' },
  LIMIT_REACHED: { status: 403, title: 'The limit of the plan is reached' },
  TENANT_SUSPENDED: { status: 403, title: 'This tenant is suspended' },
  PAYLOAD_TOO_LARGE: { status: 413, title: 'This is too large' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'This kind of content is not accepted here' },
  ARCHIVE_BROKEN: { status: 422, title: 'The archive cannot be read' },
  ARCHIVE_REFUSED: { status: 422, title: 'The archive contains something that is not allowed' },
  DOMAIN_NOT_VERIFIED: { status: 409, title: 'The name is not proven yet' },
  CERTIFICATE_INVALID: { status: 422, title: 'The certificate cannot be used' },
  ISSUER_INVALID: { status: 422, title: 'The issuer cannot be used' },
  MAIL_NOT_SET: { status: 409, title: 'No mail server is set' },
  MAIL_FAILED: { status: 502, title: 'The mail server did not take the mail' },
  TOO_MANY_REQUESTS: { status: 429, title: 'Too many requests; please wait' },
  STORAGE_FULL: { status: 507, title: 'There is no room left on the disk' },
  UNAVAILABLE: { status: 503, title: 'This is not available right now' },
  INTERNAL: { status: 500, title: 'Something went wrong on our side' },
} as const satisfies Record<string, { status: number; title: string }>

/** A stable code of the catalogue. */
export type ErrorCode = keyof typeof catalogue

/** What is wrong with one field of the input. `field` is a dotted path. */
export type FieldProblem = { readonly field: string; readonly detail: string }

/** What an `AppError` may carry besides code and detail. */
export type AppErrorOptions = {
  readonly cause?: unknown
  readonly errors?: readonly FieldProblem[]
  /** Sent as `Retry-After`. */
  readonly retryAfterSeconds?: number
}

/**
 * An expected failure, thrown where a service decides. `detail` is shown to the person: what is
 * wrong and what to do; it never holds a secret, another tenant's data, or a path of the server.
 */
export class AppError extends Error {
  override name = 'AppError'
  readonly code: ErrorCode
  readonly detail: string
  readonly errors: readonly FieldProblem[]
  readonly retryAfterSeconds: number | undefined

  constructor(code: ErrorCode, detail: string, options: AppErrorOptions = {}) {
    super(`${code}: ${detail}`, { cause: options.cause })
    this.code = code
    this.detail = detail
    this.errors = options.errors ?? []
    this.retryAfterSeconds = options.retryAfterSeconds
  }

  /** The HTTP status of the code. */
  get status(): number {
    return catalogue[this.code].status
  }
}

/** The answer for an object that is not there or not the caller's: the two look the same. */
export function notFound(what: string): AppError {
  return new AppError('NOT_FOUND', `There is no such ${what}, or it is not yours.`)
}
