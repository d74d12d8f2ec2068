import { BAD_NONCE } from './acme-problem.ts'
import { IssuerProblem, ownProblems } from './issuer.ts'

/** The part of an answer that tells what it was. */
type CaAnswer = {
  readonly status: number
  readonly headers: { readonly date?: string | undefined }
  readonly data: unknown
}

/**
 * Hears of each request to a CA when it is over. `call` is what was asked for (`new-order`, `challenge`, ...),
 * `outcome` `ok`, `bad-nonce`, `refused` (4xx), `error` (5xx) or `unreachable`, `serverDate` the CA's clock.
 */
export type ObserveCall = (call: string, ms: number, outcome: string, serverDate: Date | null) => void

/** Fields of a directory (RFC 8555 section 7.1.1, RFC 9773 section 4.1) and what asking there is called. */
const resources: Readonly<Record<string, string>> = {
  newNonce: 'new-nonce',
  newAccount: 'new-account',
  newOrder: 'new-order',
  newAuthz: 'new-authz',
  revokeCert: 'revoke',
  keyChange: 'key-change',
  renewalInfo: 'renewal-info',
}

/** Wraps requests to one CA so that `observe` hears of them; it never changes what they give. */
export function createCallObserver(
  observe: ObserveCall | undefined,
): <T extends CaAnswer>(url: string, work: () => Promise<T>) => Promise<T> {
  const known = new Map<string, string>()
  return async (url, work) => {
    if (observe === undefined) return work()
    const startedAt = performance.now()
    try {
      const answer = await work()
      for (const [field, call] of Object.entries(resources)) learn(known, answer.data, field, call)
      const outcome = answer.status < 400 ? 'ok' : isBadNonce(answer) ? 'bad-nonce' : 'refused'
      observe(callOf(known, url, answer.data), performance.now() - startedAt, outcome, dateOf(answer))
      return answer
    } catch (error) {
      observe(callOf(known, url, null), performance.now() - startedAt, outcomeOf(error), null)
      throw error
    }
  }
}

function learn(known: Map<string, string>, data: unknown, field: string, call: string): void {
  const url = isRecord(data) && typeof data['newNonce'] === 'string' ? data[field] : undefined
  if (typeof url === 'string') known.set(url, call)
}

/** By the directory, else by what came back: objects of ACME tell what they are. */
function callOf(known: ReadonlyMap<string, string>, url: string, data: unknown): string {
  const exact = known.get(url)
  if (exact !== undefined) return exact
  for (const [base, call] of known) if (call === 'renewal-info' && url.startsWith(`${base}/`)) return call
  if (typeof data === 'string' && data.includes('-----BEGIN CERTIFICATE-----')) return 'certificate'
  if (!isRecord(data)) return 'other'
  if ('newNonce' in data) return 'directory'
  if ('finalize' in data) return 'order'
  if ('challenges' in data) return 'authorization'
  return 'token' in data ? 'challenge' : 'other'
}

function outcomeOf(error: unknown): string {
  if (!(error instanceof IssuerProblem)) return 'error'
  if (error.type === ownProblems.unreachable) return 'unreachable'
  return error.status >= 400 && error.status < 500 ? 'refused' : 'error'
}

function isBadNonce({ data }: CaAnswer): boolean {
  return isRecord(data) && data['type'] === BAD_NONCE
}

function dateOf({ headers }: CaAnswer): Date | null {
  const date = new Date(headers.date ?? '')
  return Number.isNaN(date.getTime()) ? null : date
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
