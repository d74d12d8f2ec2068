import type { Signed } from './authenticate.ts'
import type { Context } from './context.ts'
import { readJwk } from './jwk.ts'
import { hasMac, parseJson, readJws } from './jws.ts'
import { AcmeProblem } from './problem.ts'

/**
 * The external account binding of newAccount (RFC 8555 section 7.3.4): the key id that it proves, or null where none
 * is needed and given. Throws `externalAccountRequired`, `malformed` or `unauthorized`.
 */
export function readExternalAccount({ settings, state }: Context, signed: Signed, binding: unknown): string | null {
  const known = settings.externalAccounts
  if (known === null) return null
  if (binding === undefined) {
    throw new AcmeProblem(
      'externalAccountRequired',
      'The request must include a value for the "externalAccountBinding" field',
    )
  }
  const jws = readJws(binding)
  const { kid, url, nonce, jwk } = jws.header
  if (nonce !== undefined || jwk !== undefined)
    throw new AcmeProblem('malformed', 'The external account binding must not have a nonce or a JWK')
  if (url !== signed.url) throw new AcmeProblem('malformed', 'The external account binding is for another URL')
  const secret = typeof kid === 'string' && Object.hasOwn(known, kid) ? known[kid] : undefined
  if (typeof kid !== 'string' || secret === undefined) {
    throw new AcmeProblem(
      'unauthorized',
      `The key id ${JSON.stringify(kid)} of the external account binding is not known`,
    )
  }
  if (!hasMac(jws, Buffer.from(secret, 'base64url'))) {
    throw new AcmeProblem('unauthorized', 'The MAC of the external account binding is wrong')
  }
  if (readJwk(parseJson(jws.payload, 'The bound key')).thumbprint !== signed.key.thumbprint) {
    throw new AcmeProblem('unauthorized', 'The external account binding binds another key')
  }
  if (settings.isExternalAccountUsedOnce && state.usedExternalKids.has(kid)) {
    throw new AcmeProblem(
      'unauthorized',
      `The key id ${JSON.stringify(kid)} of the external account binding was used already`,
    )
  }
  return kid
}
