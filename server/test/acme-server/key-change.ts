import { authenticate, payloadOf, signerOf } from './authenticate.ts'
import type { Answer, Context } from './context.ts'
import { readJwk } from './jwk.ts'
import { parseJson, readJws, verifyJws } from './jws.ts'
import { AcmeProblem } from './problem.ts'

/** keyChange (RFC 8555 section 7.3.5): a JWS by the new key inside one by the old key. */
export function answerKeyChange(context: Context, request: { body: Buffer; url: string }): Answer {
  const { state, urls, log } = context
  const outer = authenticate(context, request, 'account')
  const account = signerOf(outer)
  const inner = readJws(payloadOf(outer))
  if (inner.header.kid !== undefined) throw new AcmeProblem('malformed', 'The inner JWS must have a "jwk", no "kid"')
  const key = readJwk(inner.header.jwk)
  verifyJws(inner, key)
  if (inner.header.nonce !== undefined) throw new AcmeProblem('malformed', 'The inner JWS must not have a nonce')
  if (inner.header.url !== request.url) throw new AcmeProblem('malformed', 'The inner JWS is for another URL')
  const { account: accountUrl, oldKey } = parseJson(inner.payload, 'The inner payload')
  if (accountUrl !== urls.account(account.id))
    throw new AcmeProblem('malformed', 'The inner payload names another account')
  if (readJwk(oldKey).thumbprint !== account.key.thumbprint)
    throw new AcmeProblem('malformed', 'The inner payload has another old key')
  const holder = state.accountIdByThumbprint.get(key.thumbprint)
  if (holder !== undefined) {
    const headers = { location: urls.account(holder) }
    throw new AcmeProblem('malformed', 'New key is already in use for a different account', { status: 409, headers })
  }
  state.accountIdByThumbprint.delete(account.key.thumbprint)
  state.accountIdByThumbprint.set(key.thumbprint, account.id)
  account.key = key
  log.add({ kind: 'account', accountId: account.id, what: 'key-changed' })
  return { status: 200, body: { status: account.status, contact: account.contact, key: key.jwk } }
}
