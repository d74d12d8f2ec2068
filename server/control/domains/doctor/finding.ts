/** Ways to prove a name to a CA that the doctor tells apart (RFC 8555, RFC 8737; dns-persist-01 is a draft). */
export type ProofMethod = 'http-01' | 'tls-alpn-01' | 'dns-01' | 'dns-persist-01'

/** Ways that lead through the addresses of the name; they cannot prove a wildcard (RFC 8555 section 7.1.3). */
export const addressMethods: readonly ProofMethod[] = ['http-01', 'tls-alpn-01']

/** Every way. */
export const allMethods: readonly ProofMethod[] = [...addressMethods, 'dns-01', 'dns-persist-01']

/** Stable codes; docs/doctor.md explains each. At most one finding of a code is made for a name. */
export const findingCodes = [
  'NAME_NOT_ISSUABLE',
  'NAME_MISSING',
  'ADDRESS_V4',
  'ADDRESS_V6',
  'STRAY_AAAA',
  'CNAME_LOOP',
  'CNAME_TOO_LONG',
  'CNAME_DANGLING',
  'NAME_SERVERS_DISAGREE',
  'NAME_SERVERS_UNREACHABLE',
  'CAA',
  'CAA_FORBIDS',
  'CAA_FORBIDS_SOME',
  'CAA_CRITICAL_UNKNOWN',
  'CAA_UNANSWERED',
  'DNSSEC',
  'DNSSEC_BROKEN',
  'CDN_IN_FRONT',
  'PORT_80',
  'PORT_80_UNREACHABLE',
  'PORT_80_REDIRECTS',
  'PORT_80_OTHER_SERVER',
  'CLOCK_SKEW',
] as const

/** One of `findingCodes`. */
export type FindingCode = (typeof findingCodes)[number]

/**
 * ok: looked at, in order; problem: to be changed; warning: works or may work, but should be known;
 * waiting: comes by itself; unknown: could not be looked at, says nothing about the name.
 */
export type FindingStatus = 'ok' | 'problem' | 'warning' | 'waiting' | 'unknown'

/** What was found of one thing, for a tenant's eyes. */
export type Finding = {
  readonly code: FindingCode
  readonly status: FindingStatus
  /** What was seen. */
  readonly detail: string
  /** What to change, with the exact record where it is a record. */
  readonly fix?: string
  /** Ways of proof that fail for sure while this stands; empty unless the status is `problem`. */
  readonly blocks: readonly ProofMethod[]
}

/** A finding that blocks nothing. */
export function note(code: FindingCode, status: FindingStatus, detail: string, fix?: string): Finding {
  return { code, status, detail, ...(fix === undefined ? {} : { fix }), blocks: [] }
}

/** A problem, and the ways of proof that it bars. */
export function problem(code: FindingCode, blocks: readonly ProofMethod[], detail: string, fix?: string): Finding {
  return { code, status: 'problem', detail, ...(fix === undefined ? {} : { fix }), blocks }
}

/** A name or value that came from outside, fit to be shown. */
export function shown(text: string): string {
  const plain = text.replace(/[^\x20-\x7e]/g, '?')
  return plain.length > 160 ? `${plain.slice(0, 160)}...` : plain
}
