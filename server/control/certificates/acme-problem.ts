import { IssuerProblem, ownProblems } from './issuer.ts'

/** Longest text of a CA that is kept: it is shown to people. */
const MAX_DETAIL = 500
/** Longest wait that a CA may ask for. */
const MAX_RETRY_AFTER_MS = 24 * 3_600_000

/** The problem type for "the request was fine, its nonce was not" (RFC 8555 section 6.5). */
export const BAD_NONCE = 'urn:ietf:params:acme:error:badNonce'

/** Reads `Retry-After`: seconds or an HTTP date (RFC 9110 section 10.2.3), at most 24 hours. Null when absent or unreadable. */
export function parseRetryAfter(header: string | undefined, now: Date): number | null {
  if (header === undefined) return null
  const text = header.trim()
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - now.getTime()
  return Number.isFinite(ms) && ms >= 0 ? Math.min(ms, MAX_RETRY_AFTER_MS) : null
}

/** Makes the typed problem of an answer with a status from 400, whatever its body is. */
export function problemOf(status: number, body: unknown, retryAfterMs: number | null): IssuerProblem {
  const document = readProblem(body)
  if (document !== null) return new IssuerProblem({ ...document, status, retryAfterMs })
  const type = status === 404 ? ownProblems.gone : `urn:ietf:params:acme:error:${fallbackType(status)}`
  return new IssuerProblem({ type, detail: `the CA answered with status ${status}`, status, retryAfterMs })
}

type ReadProblem = {
  type: string
  detail: string
  instance: string | null
  subproblems: { type: string; detail: string; name: string | null }[]
}

/** Reads a problem document inside another object, such as a challenge's `error`; null when there is none. */
export function readProblem(body: unknown): ReadProblem | null {
  if (!isObject(body) || typeof body.type !== 'string') return null
  const subproblems = Array.isArray(body.subproblems) ? body.subproblems.slice(0, 20) : []
  return {
    type: body.type.slice(0, MAX_DETAIL),
    detail: typeof body.detail === 'string' ? cut(body.detail) : 'no detail was given',
    instance: typeof body.instance === 'string' ? cut(body.instance) : null,
    subproblems: subproblems.filter(isObject).map((item) => ({
      type: String(item.type ?? '').slice(0, MAX_DETAIL),
      detail: cut(String(item.detail ?? '')),
      name: isObject(item.identifier) && typeof item.identifier.value === 'string' ? cut(item.identifier.value) : null,
    })),
  }
}

function fallbackType(status: number): string {
  if (status === 429) return 'rateLimited'
  return status >= 500 ? 'serverInternal' : 'malformed'
}

function cut(text: string): string {
  return text.length <= MAX_DETAIL ? text : `${text.slice(0, MAX_DETAIL)}…`
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
