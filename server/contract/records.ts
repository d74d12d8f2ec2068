import { isDigest } from './ids.ts'
import type { SiteOptionsInput } from './site-options.ts'

/**
 * Serving records: all that an edge knows. Small, flat, keyed, each with a revision of one feed.
 * A record is a fact about what to serve, never an instruction; applying one twice changes nothing.
 */

/** The kinds of record, in the order in which a batch is compiled: what is pointed at comes first. */
export const recordKinds = ['setting', 'ticket-key', 'certificate', 'site', 'name', 'address', 'challenge'] as const

/** One of `recordKinds`. */
export type RecordKind = (typeof recordKinds)[number]

/** `name`: key is the normalised name, `*.` first for a wildcard. */
export type NameRecord = {
  readonly siteId: string
  /** Fingerprints, best first. Empty: proven but not issued yet; it still hides a wildcard above. */
  readonly certificates: readonly string[]
}

/** One place that a proxy site sends requests to. */
export type Upstream = { readonly url: string; readonly weight: number }

/** `site`: key is the site's id. */
export type SiteRecord = {
  readonly tenantId: string
  readonly kind: 'static' | 'proxy' | 'redirect'
  readonly state: 'active' | 'suspended'
  /** Static: SHA-256 (hex) of the manifest blob; null while nothing was uploaded. */
  readonly manifest: string | null
  /** Proxy. */
  readonly upstreams: readonly Upstream[]
  /** Redirect: target URL; the request's path and query are appended when it ends in `/`. */
  readonly redirectTo: string | null
  readonly redirectStatus: number | null
  /** Its upstream may be a loopback address: the panel itself. */
  readonly isPanel: boolean
  /** Read it through `siteOptions`. */
  readonly options?: SiteOptionsInput
}

/** `certificate`: key is the SHA-256 fingerprint of the leaf, hex. */
export type CertificateRecord = {
  /** Leaf first, then the chain. */
  readonly chainPem: string
  /** PKCS#8 PEM sealed to the edge (`sealTo`, base64), with the fingerprint as context. */
  readonly sealedKey: string
  readonly names: readonly string[]
  /** RFC 3339. */
  readonly notAfter: string
}

/** `address`: key is the canonical IP text. */
export type AddressRecord = {
  /** The site of clients that send no server name; null on a shared address. */
  readonly siteId: string | null
  readonly certificates: readonly string[]
  readonly legacyTls: 'none' | 'tls1.0' | 'tls1.0-3des'
}

/** `challenge` with the key `http-01:<token>` (RFC 8555 section 8.3). */
export type Http01Record = { readonly name: string; readonly keyAuthorization: string }

/** `challenge` with the key `tls-alpn-01:<name>` (RFC 8737). */
export type TlsAlpn01Record = {
  readonly name: string
  /** The self-signed certificate with the acmeIdentifier extension. */
  readonly certificatePem: string
  /** PKCS#8 PEM sealed to the edge (`sealTo`, base64), with the record's key as context. */
  readonly sealedKey: string
}

/** `challenge`: the key says which. */
export type ChallengeRecord = Http01Record | TlsAlpn01Record

/**
 * `ticket-key`: key is `current`, or `previous` for the epoch before. The secret is sealed to the edge, context
 * `ticket-key`. `keyId` tells the control plane which of its keys it derives the secret from.
 */
export type TicketKeyRecord = { readonly epoch: number; readonly sealedSecret: string; readonly keyId?: number }

/** `setting`: key is the setting's name, its value any JSON. */
export type SettingRecord = { readonly value: unknown }

/** Payload by kind. */
export type Payloads = {
  setting: SettingRecord
  'ticket-key': TicketKeyRecord
  certificate: CertificateRecord
  site: SiteRecord
  name: NameRecord
  address: AddressRecord
  challenge: ChallengeRecord
}

/** A record as it travels: `payload` null is a delete. */
export type ServingRecord<K extends RecordKind = RecordKind> = {
  readonly [P in K]: {
    readonly kind: P
    readonly key: string
    readonly revision: number
    readonly payload: Payloads[P] | null
  }
}[K]

/** The key of an http-01 challenge record. */
export function http01Key(token: string): string {
  return `http-01:${token}`
}

/** The key of a tls-alpn-01 challenge record; the name is normalised. */
export function tlsAlpn01Key(name: string): string {
  return `tls-alpn-01:${name}`
}

/**
 * Says why an edge cannot use a record, or null when it can. Checks the shape only, so that one bad
 * record is refused by itself and the feed goes on.
 */
export function recordProblem(kind: string, key: string, payload: unknown): string | null {
  if (!(recordKinds as readonly string[]).includes(kind)) return `unknown kind ${kind}`
  if (key === '' || key.length > 512) return 'key is empty or too long'
  if (payload === null) return null
  if (typeof payload !== 'object') return 'payload is no object'
  const check = checks[kind as RecordKind]
  return check(payload as Record<string, unknown>, key)
}

const text = (value: unknown): boolean => typeof value === 'string' && value !== ''
const texts = (value: unknown): boolean => Array.isArray(value) && value.every((item) => typeof item === 'string')

const checks: Record<RecordKind, (p: Record<string, unknown>, key: string) => string | null> = {
  setting: () => null,
  'ticket-key': (p) =>
    Number.isInteger(p.epoch) && text(p.sealedSecret) ? null : 'ticket key without epoch or secret',
  certificate: (p, key) => {
    if (!isDigest(key)) return 'key is no fingerprint'
    return text(p.chainPem) && text(p.sealedKey) && texts(p.names) ? null : 'certificate without chain, key or names'
  },
  site: (p) => {
    if (p.kind !== 'static' && p.kind !== 'proxy' && p.kind !== 'redirect')
      return `unknown kind of site ${String(p.kind)}`
    if (p.manifest !== null && !isDigest(p.manifest)) return 'manifest is no digest'
    if (p.kind === 'proxy' && !(Array.isArray(p.upstreams) && p.upstreams.length > 0)) return 'proxy without upstream'
    return p.kind === 'redirect' && !text(p.redirectTo) ? 'redirect without target' : null
  },
  name: (p) => (text(p.siteId) && texts(p.certificates) ? null : 'name without site or certificates'),
  address: (p) => (texts(p.certificates) && (p.siteId === null || text(p.siteId)) ? null : 'address without site'),
  challenge: (p, key) => {
    if (!text(p.name)) return 'challenge without name'
    if (key !== tlsAlpn01Key(String(p.name)))
      return text(p.keyAuthorization) ? null : 'challenge without key authorization'
    return text(p.certificatePem) && text(p.sealedKey) ? null : 'challenge without certificate or key'
  },
}
