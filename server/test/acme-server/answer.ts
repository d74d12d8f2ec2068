import { answerAccount, answerNewAccount, answerOrders } from './accounts.ts'
import { newNonce } from './authenticate.ts'
import { answerAuthorization } from './authorizations.ts'
import type { Call } from './calls.ts'
import { answerCertificate, answerRevokeCert } from './certificates.ts'
import { answerChallenge } from './challenges.ts'
import type { Answer, Context } from './context.ts'
import { answerDirectory } from './directory.ts'
import { answerFinalize } from './finalize.ts'
import { answerKeyChange } from './key-change.ts'
import { answerNewOrder, answerOrder } from './orders.ts'
import { AcmeProblem } from './problem.ts'
import { answerRenewalInfo } from './renewal.ts'

/** A request that was read whole. */
export type Request = {
  readonly url: string
  readonly query: URLSearchParams
  readonly method: string
  readonly contentType: string | undefined
  readonly body: Buffer
  readonly isTooLarge: boolean
  /** The client's. */
  readonly address: string
}

export const MOST_BODY_BYTES = 64 * 1_024

const unsigned = new Set<Call['kind']>(['directory', 'newNonce', 'renewalInfo'])

/** Lets a request take effect; problems become answers. */
export function answerCall(context: Context, call: Call, request: Request): Answer {
  try {
    expectForm(call, request)
    const answer = dispatch(context, call, request)
    const isPlainRead = unsigned.has(call.kind) && call.kind !== 'newNonce'
    return isPlainRead ? answer : withNonce(context, answer)
  } catch (error) {
    if (error instanceof AcmeProblem) return problemAnswer(context, call, error)
    return problemAnswer(context, call, new AcmeProblem('serverInternal', String((error as Error).stack ?? error)))
  }
}

/** A problem as an answer, logged where it belongs to a call. */
export function problemAnswer(context: Context, call: Call | null, problem: AcmeProblem): Answer {
  if (call !== null) context.log.add({ kind: 'refused', call: call.kind, type: problem.type, detail: problem.message })
  const headers = { 'content-type': 'application/problem+json', ...problem.headers }
  return withNonce(context, { status: problem.status, headers, body: problem.document() })
}

/** RFC 8555 sections 6.2 and 6.3: GET for three resources, signed POST for all others. */
function expectForm(call: Call, { method, contentType, isTooLarge }: Request): void {
  if (isTooLarge)
    throw new AcmeProblem('malformed', `Request body of more than ${MOST_BODY_BYTES} bytes`, { status: 413 })
  const allowed = unsigned.has(call.kind) ? ['GET', 'HEAD'] : ['POST']
  if (!allowed.includes(method)) {
    throw new AcmeProblem('malformed', 'Method not allowed', { status: 405, headers: { allow: allowed.join(', ') } })
  }
  if (method === 'POST' && contentType !== 'application/jose+json') {
    const detail = 'Invalid Content-Type header on POST. Content-Type must be "application/jose+json"'
    throw new AcmeProblem('malformed', detail, { status: 415 })
  }
}

function dispatch(context: Context, call: Call, request: Request): Answer {
  switch (call.kind) {
    case 'directory':
      return answerDirectory(context)
    case 'newNonce':
      return { status: request.method === 'HEAD' ? 200 : 204, headers: { 'cache-control': 'no-store' } }
    case 'newAccount':
      return answerNewAccount(context, request)
    case 'account':
      return answerAccount(context, call, request)
    case 'orders':
      return answerOrders(context, call, request)
    case 'keyChange':
      return answerKeyChange(context, request)
    case 'newOrder':
      return answerNewOrder(context, request)
    case 'order':
      return answerOrder(context, call, request)
    case 'finalize':
      return answerFinalize(context, call, request)
    case 'authorization':
      return answerAuthorization(context, call, request)
    case 'challenge':
      return answerChallenge(context, call, request)
    case 'certificate':
      return answerCertificate(context, call, request)
    case 'revokeCert':
      return answerRevokeCert(context, request)
    case 'renewalInfo':
      return answerRenewalInfo(context, call)
  }
}

function withNonce(context: Context, answer: Answer): Answer {
  return { ...answer, headers: { ...answer.headers, 'replay-nonce': newNonce(context) } }
}
