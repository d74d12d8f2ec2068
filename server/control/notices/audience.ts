/** Problems that a tenant's own DNS, server or name causes: they can act, so they hear of them at once. */
const ofTenant = new Set([
  'CONNECTION',
  'DNS',
  'UNAUTHORIZED',
  'TLS',
  'CAA',
  'REJECTED_IDENTIFIER',
  'OWNERSHIP_NOT_PROVEN',
  'OWNERSHIP_LAPSED',
  'WILDCARD_NEEDS_DNS',
  'DNSSEC',
  'DNS_PROOF',
  'DNS_WAITING',
  'DNS_PROVIDER',
  'NAME_NOT_ISSUABLE',
  'NAME_MISSING',
  'ADDRESS_V4',
  'ADDRESS_V6',
  'STRAY_AAAA',
  'CNAME_LOOP',
  'CNAME_TOO_LONG',
  'CNAME_DANGLING',
  'CAA_FORBIDS',
  'CAA_CRITICAL_UNKNOWN',
  'CAA_UNANSWERED',
  'DNSSEC_BROKEN',
  'PORT_80_UNREACHABLE',
  'PORT_80_REDIRECTS',
  'PORT_80_OTHER_SERVER',
  'NAME_GONE',
])

/** Problems of a CA, of our side or of the set-up: a tenant can do nothing about them. */
export const operatorCodes: readonly string[] = [
  'ISSUER_BUSY',
  'ISSUER_ERROR',
  'ISSUER_UNREACHABLE',
  'TERMS_NOT_AGREED',
  'EXTERNAL_ACCOUNT_REQUIRED',
  'USER_ACTION_REQUIRED',
  'INVALID_CONTACT',
  'INVALID_PROFILE',
  'CLOCK_SKEW',
]
const ofOperator = new Set([...operatorCodes, 'NO_ISSUER', 'NO_CHALLENGE', 'INTERNAL', 'EDGES_UNCONFIRMED'])
/** What heals without anybody: waiting is all that is to be done. */
const ofNobody = new Set(['RATE_LIMITED', 'LIMIT_USED_UP', 'ORDER_LOST', 'ACCOUNT_LOST'])

/**
 * Who can act on a problem code of a certificate (`problems.ts`): `unknown` for one that this list does not have,
 * which tenants hear of when it lasts.
 */
export function audienceOf(code: string): 'tenant' | 'operator' | 'nobody' | 'unknown' {
  if (ofTenant.has(code)) return 'tenant'
  if (ofOperator.has(code)) return 'operator'
  return ofNobody.has(code) ? 'nobody' : 'unknown'
}
