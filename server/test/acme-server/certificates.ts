import { createHash } from 'node:crypto'
import { authenticate, expectRead, payloadOf, type Signed, signerOf } from './authenticate.ts'
import type { Call } from './calls.ts'
import type { Answer, Context } from './context.ts'
import { keyHash } from './csr.ts'
import { decodeBase64url } from './jws.ts'
import { AcmeProblem } from './problem.ts'
import type { Certificate } from './state.ts'

/** Reasons of RFC 5280 section 5.3.1 that a subscriber may give (RFC 8555 section 7.6, Baseline Requirements 7.2.2). */
const reasons = new Set([0, 1, 3, 4, 5])
const KEY_COMPROMISE = 1

/** Downloads a chain (RFC 8555 section 7.4.2); the other one is linked as alternate. */
export function answerCertificate(context: Context, call: Call, request: { body: Buffer; url: string }): Answer {
  const { state, urls, log } = context
  const signed = authenticate(context, request, 'account')
  expectRead(signed)
  const certificate = state.certificates.get(call.id)
  const chain = Number(call.part ?? 0)
  const pem = certificate?.chains[chain]
  if (certificate === undefined || pem === undefined)
    throw new AcmeProblem('malformed', 'Certificate not found', { status: 404 })
  if (certificate.accountId !== signerOf(signed).id) {
    throw new AcmeProblem('unauthorized', 'Account in use did not issue specified certificate')
  }
  log.add({ kind: 'download', certId: certificate.certId, accountId: certificate.accountId, chain })
  const alternates = certificate.chains.map((_, index) => index).filter((index) => index !== chain)
  return {
    status: 200,
    headers: {
      'content-type': 'application/pem-certificate-chain',
      link: alternates.map((index) => `<${urls.certificate(certificate.id, index)}>;rel="alternate"`),
    },
    body: pem,
  }
}

/** revokeCert (RFC 8555 section 7.6), by the account that got the certificate or by the certificate's own key. */
export function answerRevokeCert(context: Context, request: { body: Buffer; url: string }): Answer {
  const { state, settings, log } = context
  const signed = authenticate(context, request, 'either')
  const { certificate: encoded, reason = 0 } = payloadOf(signed)
  if (typeof encoded !== 'string') throw new AcmeProblem('malformed', 'revokeCert needs a certificate')
  const fingerprint = createHash('sha256').update(decodeBase64url(encoded)).digest('hex')
  const certificate = state.certificateByFingerprint.get(fingerprint)
  if (certificate === undefined)
    throw new AcmeProblem('malformed', 'Certificate from unrecognized issuer', { status: 404 })
  const by = rightOf(context, signed, certificate)
  if (typeof reason !== 'number' || !reasons.has(reason)) {
    const detail = `unsupported revocation reason code provided: ${JSON.stringify(reason)}. Supported reasons: ${[...reasons].join(', ')}`
    throw new AcmeProblem('badRevocationReason', detail)
  }
  if (certificate.revoked !== null) throw new AcmeProblem('alreadyRevoked', 'Certificate already revoked')
  certificate.revoked = { at: settings.clock(), reason }
  if (reason === KEY_COMPROMISE) {
    state.compromisedKeys.add(keyHash(certificate.publicKey.export({ format: 'der', type: 'spki' })))
  }
  log.add({ kind: 'revoked', certId: certificate.certId, reason, by })
  return { status: 200 }
}

function rightOf(context: Context, { account, key }: Signed, certificate: Certificate): 'account' | 'certificate-key' {
  if (account === null) {
    if (key.key.equals(certificate.publicKey)) return 'certificate-key'
    throw new AcmeProblem(
      'unauthorized',
      'JWK embedded in revocation request must be the same public key as the cert to be revoked',
    )
  }
  const mayRevoke = account.id === certificate.accountId || holdsAuthorizations(context, account.id, certificate.names)
  if (mayRevoke) return 'account'
  throw new AcmeProblem(
    'unauthorized',
    'The account neither requested this certificate nor is authorized for its names',
  )
}

/** Whether an account has proven every name of a certificate that another one got (RFC 8555 section 7.6). */
function holdsAuthorizations({ state, settings }: Context, accountId: string, names: readonly string[]): boolean {
  const now = settings.clock()
  const proven = new Set<string>()
  for (const item of state.authorizations.values()) {
    const isHeld = item.accountId === accountId && item.status === 'valid' && item.expiresAt > now
    if (isHeld) proven.add(`${item.isWildcard ? '*.' : ''}${item.identifier.value}`)
  }
  return names.every((name) => proven.has(name))
}
