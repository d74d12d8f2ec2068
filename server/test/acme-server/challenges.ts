import { setTimeout as sleep } from 'node:timers/promises'
import { authenticate, payloadOf, signerOf } from './authenticate.ts'
import { challengeBody, ownAuthorization } from './authorizations.ts'
import type { Call } from './calls.ts'
import type { Answer, Context } from './context.ts'
import type { ValidationFault } from './faults.ts'
import { AcmeProblem } from './problem.ts'
import type { Account, Authorization, Challenge } from './state.ts'
import { type Verdict, validate } from './validate.ts'

/** The challenge's own URL (RFC 8555 section 7.5.1): an empty object asks for validation, which goes on after the answer. */
export function answerChallenge(context: Context, call: Call, request: { body: Buffer; url: string }): Answer {
  const signed = authenticate(context, request, 'account')
  const account = signerOf(signed)
  const authorization = ownAuthorization(context, account, call.id)
  const index = Number(call.part)
  const challenge = authorization.challenges[index]
  if (challenge === undefined) throw new AcmeProblem('malformed', 'No such challenge', { status: 404 })
  if (signed.payload.length > 0) {
    payloadOf(signed)
    if (authorization.status === 'expired') throw new AcmeProblem('malformed', 'Expired authorization', { status: 404 })
    if (authorization.status === 'pending' && challenge.status === 'pending') {
      challenge.status = 'processing'
      void decide(context, account, authorization, challenge)
    }
  }
  return {
    status: 200,
    headers: {
      link: [`<${context.urls.authorization(authorization.id)}>;rel="up"`],
      ...(challenge.status === 'processing' ? { 'retry-after': String(context.settings.pollSeconds) } : {}),
    },
    body: challengeBody(context, authorization, index),
  }
}

async function decide(
  context: Context,
  account: Account,
  authorization: Authorization,
  challenge: Challenge,
): Promise<void> {
  const { settings, state, limits, log, faults } = context
  if (settings.validationDelayMs > 0) await sleep(settings.validationDelayMs, undefined, { ref: false })
  const fault = faults.takeValidation()
  if (fault?.kind === 'stuck') return
  const { problem, target } =
    fault === null ? await validate(context, account, authorization, challenge) : spoiltVerdict(fault)
  // An authorization that was deactivated meanwhile stays so.
  if (authorization.status !== 'pending') return
  const name = authorization.identifier.value
  if (problem === null) {
    challenge.status = 'valid'
    challenge.validatedAt = settings.clock()
    authorization.status = 'valid'
    limits.noteSuccess(account.id, name)
    if (settings.authorizationReuseSeconds > 0) {
      authorization.expiresAt = settings.clock() + settings.authorizationReuseSeconds * 1_000
      state.reusable.set(`${account.id} ${authorization.isWildcard ? '*.' : ''}${name}`, authorization.id)
    }
  } else {
    challenge.status = 'invalid'
    challenge.error = problem
    authorization.status = 'invalid'
    limits.spendFailure(account.id, name)
  }
  const found = problem === null ? null : { type: problem.type, detail: problem.message }
  log.add({ kind: 'validation', accountId: account.id, name, type: challenge.type, target, problem: found })
}

function spoiltVerdict({
  type = 'connection',
  detail = 'During secondary validation: Timeout',
}: ValidationFault): Verdict {
  return { target: '', problem: new AcmeProblem(type, detail) }
}
