import { randomBytes } from 'node:crypto'
import type { Context } from './context.ts'
import { type RequestKey, readJwk } from './jwk.ts'
import { type Jws, parseJson, readJws, verifyJws } from './jws.ts'
import { AcmeProblem } from './problem.ts'
import type { Account } from './state.ts'

/** Nonces that are remembered; older ones are refused. */
const MOST_NONCES = 20_000

/** A request whose signature, nonce and URL are right. */
export type Signed = {
  readonly key: RequestKey
  /** Null when the header held a JWK. */
  readonly account: Account | null
  readonly payload: Buffer
  readonly url: string
}

/** What a request must be signed with. */
export type Signer = 'account' | 'new-key' | 'either'

/** A fresh nonce (RFC 8555 section 7.2). */
export function newNonce({ state }: Context): string {
  const nonce = randomBytes(12).toString('base64url')
  state.nonces.add(nonce)
  if (state.nonces.size > MOST_NONCES) state.nonces.delete(state.nonces.values().next().value ?? '')
  return nonce
}

/** RFC 8555 sections 6.2 to 6.5: parses and checks a signed request. Throws the problem that it ends with. */
export function authenticate(context: Context, request: { body: Buffer; url: string }, signer: Signer): Signed {
  const jws = readJws(parseJson(request.body, 'The request'))
  const { jwk, kid } = jws.header
  if ((jwk === undefined) === (kid === undefined)) {
    throw new AcmeProblem('malformed', 'A JWS needs exactly one of "jwk" and "kid"')
  }
  if (signer === 'account' && kid === undefined) throw new AcmeProblem('malformed', 'No Key ID in JWS header')
  if (signer === 'new-key' && jwk === undefined) throw new AcmeProblem('malformed', 'No embedded JWK in JWS header')
  const account = kid === undefined ? null : accountOf(context, kid)
  const key = account?.key ?? readJwk(jwk)
  verifyJws(jws, key)
  if (jws.header.url !== request.url) {
    const detail = `JWS header parameter 'url' incorrect. Expected ${JSON.stringify(request.url)} got ${JSON.stringify(jws.header.url)}`
    throw new AcmeProblem('unauthorized', detail, { status: 401 })
  }
  spendNonce(context, jws)
  if (account?.status === 'deactivated')
    throw new AcmeProblem('unauthorized', 'Account is not valid, has status "deactivated"')
  return { key, account, payload: jws.payload, url: request.url }
}

/** The JSON object that a request holds. Throws `malformed`. */
export function payloadOf({ payload }: Signed): Record<string, unknown> {
  return parseJson(payload, 'The payload')
}

/** POST-as-GET (RFC 8555 section 6.3). Throws `malformed` when the payload is not empty. */
export function expectRead({ payload }: Signed): void {
  if (payload.length > 0) throw new AcmeProblem('malformed', 'POST-as-GET requests must have an empty payload')
}

/** The account of a request that `authenticate` took for signer `account`. */
export function signerOf({ account }: Signed): Account {
  if (account === null) throw new AcmeProblem('malformed', 'No Key ID in JWS header')
  return account
}

function accountOf({ state, urls }: Context, kid: unknown): Account {
  const prefix = urls.account('')
  if (typeof kid !== 'string' || !kid.startsWith(prefix)) {
    throw new AcmeProblem('malformed', `KeyID header contained an invalid account URL: ${JSON.stringify(kid)}`)
  }
  const account = state.accounts.get(kid.slice(prefix.length))
  if (account === undefined) throw new AcmeProblem('accountDoesNotExist', `Account ${JSON.stringify(kid)} not found`)
  return account
}

function spendNonce({ state, settings }: Context, jws: Jws): void {
  const { nonce } = jws.header
  if (typeof nonce !== 'string' || nonce === '') throw new AcmeProblem('badNonce', 'JWS has no anti-replay nonce')
  const isKnown = state.nonces.delete(nonce)
  if (isKnown && settings.random() * 100 >= settings.nonceRejectPercent) return
  throw new AcmeProblem('badNonce', `JWS has an invalid anti-replay nonce: ${JSON.stringify(nonce)}`)
}
