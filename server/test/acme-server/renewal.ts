import type { Call } from './calls.ts'
import type { Answer, Context } from './context.ts'
import { AcmeProblem } from './problem.ts'
import type { Account, Certificate } from './state.ts'

/** RFC 9773 section 4.1: base64url of the key id and of the serial number's content octets. */
const CERT_ID = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/

/** GET renewalInfo (RFC 9773 section 4.1), unsigned. Throws 404 for certificates that are not known. */
export function answerRenewalInfo({ state, settings, renewals, log }: Context, call: Call): Answer {
  if (!CERT_ID.test(call.id)) throw new AcmeProblem('malformed', 'Parsing ARI CertID failed')
  const certificate = state.certificateByCertId.get(call.id)
  const window =
    certificate === undefined ? null : (renewals.windows.get(call.id) ?? renewals.rule(certificate, settings.clock()))
  log.add({ kind: 'renewal-info', certId: call.id, status: window === null ? 404 : 200 })
  if (window === null) throw new AcmeProblem('malformed', 'Certificate not found', { status: 404 })
  const { start, end, explanationUrl } = window
  return {
    status: 200,
    headers: { 'retry-after': String(renewals.retryAfterSeconds) },
    body: {
      suggestedWindow: { start: new Date(start).toISOString(), end: new Date(end).toISOString() },
      ...(explanationUrl === undefined ? {} : { explanationURL: explanationUrl }),
    },
  }
}

/**
 * The certificate that newOrder's `replaces` names (RFC 9773 section 5). Throws `malformed` for an unknown id or no
 * shared name, `unauthorized` for another account's certificate, `alreadyReplaced` when it is used up.
 */
export function findReplaced(
  { state }: Context,
  account: Account,
  replaces: unknown,
  names: readonly string[],
): Certificate {
  if (typeof replaces !== 'string' || !CERT_ID.test(replaces))
    throw new AcmeProblem('malformed', 'Parsing ARI CertID failed')
  const certificate = state.certificateByCertId.get(replaces)
  if (certificate === undefined)
    throw new AcmeProblem('malformed', 'No certificate found for the ARI CertID in "replaces"')
  if (certificate.accountId !== account.id) {
    throw new AcmeProblem(
      'unauthorized',
      'Requester account did not request the certificate being replaced by this order',
    )
  }
  if (!names.some((name) => certificate.names.includes(name))) {
    throw new AcmeProblem('malformed', 'The certificate being replaced and this order must share an identifier')
  }
  const earlier = certificate.replacedBy === null ? undefined : state.orders.get(certificate.replacedBy)
  const isUsedUp = certificate.replacedBy !== null && earlier?.status !== 'invalid'
  if (isUsedUp)
    throw new AcmeProblem(
      'alreadyReplaced',
      `Cannot indicate an order replaces certificate with serial ${JSON.stringify(certificate.serial)}, which already has a replacement order`,
    )
  return certificate
}
