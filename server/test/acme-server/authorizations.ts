import { randomBytes } from 'node:crypto'
import { authenticate, payloadOf, signerOf } from './authenticate.ts'
import type { Call } from './calls.ts'
import type { ChallengeType } from './challenge-type.ts'
import type { Answer, Context } from './context.ts'
import type { Identifier } from './identifier.ts'
import { baseOf } from './identifiers.ts'
import { AcmeProblem } from './problem.ts'
import { type Account, type Authorization, type Challenge, newId } from './state.ts'

const PENDING_LIFETIME_MS = 7 * 86_400_000
/** What can prove a name of each kind: a wildcard only by DNS (RFC 8555 section 8.4), an address never (RFC 8738). */
const wildcardTypes: ReadonlySet<ChallengeType> = new Set(['dns-01', 'dns-persist-01'])
const addressTypes: ReadonlySet<ChallengeType> = new Set(['http-01', 'tls-alpn-01'])

/** A new pending authorization with the challenges that fit its identifier. Throws `rejectedIdentifier` when none does. */
export function createAuthorization(
  { state, settings }: Context,
  account: Account,
  ordered: Identifier,
): Authorization {
  const isWildcard = ordered.value.startsWith('*.')
  const types = settings.challengeTypes.filter((type) => {
    if (isWildcard) return wildcardTypes.has(type)
    return ordered.type === 'dns' || addressTypes.has(type)
  })
  if (types.length === 0)
    throw new AcmeProblem('rejectedIdentifier', `No challenge type can prove ${JSON.stringify(ordered.value)}`)
  const authorization: Authorization = {
    id: newId(),
    accountId: account.id,
    identifier: { type: ordered.type, value: baseOf(ordered.value) },
    isWildcard,
    status: 'pending',
    expiresAt: settings.clock() + PENDING_LIFETIME_MS,
    challenges: types.map(newChallenge),
  }
  state.authorizations.set(authorization.id, authorization)
  return authorization
}

/** A valid authorization of an earlier order that may serve again, where the settings allow it. */
export function findReusable(
  { state, settings }: Context,
  account: Account,
  ordered: Identifier,
): Authorization | null {
  const id = state.reusable.get(`${account.id} ${ordered.value}`)
  const authorization = id === undefined ? undefined : state.authorizations.get(id)
  if (authorization?.status !== 'valid' || authorization.expiresAt <= settings.clock()) return null
  return authorization
}

/** The authorization's own URL: reading and deactivation (RFC 8555 section 7.5.2). */
export function answerAuthorization(context: Context, call: Call, request: { body: Buffer; url: string }): Answer {
  const signed = authenticate(context, request, 'account')
  const authorization = ownAuthorization(context, signerOf(signed), call.id)
  if (signed.payload.length > 0) {
    if (payloadOf(signed).status !== 'deactivated')
      throw new AcmeProblem('malformed', 'An authorization can only be deactivated')
    if (authorization.status !== 'pending' && authorization.status !== 'valid') {
      throw new AcmeProblem('malformed', `Authorization is ${authorization.status}`)
    }
    authorization.status = 'deactivated'
  }
  return authorizationAnswer(context, authorization)
}

/** An authorization of the account, expired where its time has come. Throws 404 or `unauthorized`. */
export function ownAuthorization({ state, settings }: Context, account: Account, id: string): Authorization {
  const authorization = state.authorizations.get(id)
  if (authorization === undefined) throw new AcmeProblem('malformed', 'No such authorization', { status: 404 })
  if (authorization.accountId !== account.id)
    throw new AcmeProblem('unauthorized', 'Account does not own authorization')
  expireAuthorization(authorization, settings.clock())
  return authorization
}

/** Ends what is still open when its time has come. */
export function expireAuthorization(authorization: Authorization, now: number): void {
  const isOpen = authorization.status === 'pending' || authorization.status === 'valid'
  if (isOpen && authorization.expiresAt <= now) authorization.status = 'expired'
}

/** A challenge as JSON (RFC 8555 section 8; dns-persist-01 names issuers and account instead of a token). */
export function challengeBody({ urls, settings }: Context, authorization: Authorization, index: number): object {
  const challenge = authorization.challenges[index]
  if (challenge === undefined) throw new AcmeProblem('malformed', 'No such challenge', { status: 404 })
  const { type, status, token, validatedAt, error } = challenge
  return {
    type,
    url: urls.challenge(authorization.id, index),
    status,
    ...(type === 'dns-persist-01'
      ? { 'issuer-domain-names': settings.caaIdentities, accounturi: urls.account(authorization.accountId) }
      : { token }),
    ...(validatedAt === null ? {} : { validated: new Date(validatedAt).toISOString() }),
    ...(error === null ? {} : { error: error.document() }),
  }
}

function authorizationAnswer(context: Context, authorization: Authorization): Answer {
  const { identifier, status, expiresAt, isWildcard, challenges } = authorization
  const isPending = status === 'pending'
  // Once decided, only the challenge that decided is shown (section 7.1.4).
  const shown = challenges.flatMap((challenge, index) => {
    const isShown = isPending || challenge.status === 'valid' || challenge.error !== null
    return isShown ? [challengeBody(context, authorization, index)] : []
  })
  return {
    status: 200,
    headers: isPending ? { 'retry-after': String(context.settings.pollSeconds) } : {},
    body: {
      identifier,
      status,
      expires: new Date(expiresAt).toISOString(),
      challenges: shown,
      ...(isWildcard ? { wildcard: true } : {}),
    },
  }
}

function newChallenge(type: ChallengeType): Challenge {
  return { type, token: randomBytes(32).toString('base64url'), status: 'pending', validatedAt: null, error: null }
}
