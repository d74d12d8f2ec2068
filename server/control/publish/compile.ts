import { isDeepStrictEqual } from 'node:util'
import { ACCESS_LOG_SETTING } from '../../contract/access-log.ts'
import { isUuid } from '../../contract/ids.ts'
import { type Payloads, type RecordKind, recordKinds } from '../../contract/records.ts'

/** What names a serving record. */
export type RecordKey = { readonly kind: RecordKind; readonly key: string }

/** A hostname that its tenant has proven, with the certificate that it uses. */
export type NameRow = {
  readonly name: string
  readonly siteId: string
  readonly isVerified: boolean
  readonly verifiedAt: Date
  /** Null while there is none that may be served. */
  readonly fingerprint: string | null
}

/** An issued certificate that may be served and that a hostname uses. */
export type CertificateRow = {
  readonly fingerprint: string
  readonly chainPem: string
  readonly names: readonly string[]
  readonly notAfter: Date
}

/** An address with the site that it is allocated to. */
export type AddressRow = {
  readonly address: string
  readonly use: 'shared' | 'dedicated'
  readonly siteId: string | null
  readonly legacyTls: Payloads['address']['legacyTls']
}

/** A challenge that the CA may ask for now; with a certificate it is answered in the TLS handshake. */
export type ChallengeRow = {
  readonly name: string
  readonly keyAuthorization: string
  readonly certificatePem: string | null
}

/** Everything that the records of one batch are compiled from, as of one moment. */
export type Sources = {
  /** Every proven hostname of a name: more than one when proofs have lapsed. */
  readonly names: ReadonlyMap<string, readonly NameRow[]>
  readonly sites: ReadonlyMap<string, Payloads['site']>
  readonly certificates: ReadonlyMap<string, CertificateRow>
  readonly addresses: ReadonlyMap<string, AddressRow>
  /** By site: the certificates for clients that say no name, that of its first name first; see `shownWithoutName`. */
  readonly siteFingerprints: ReadonlyMap<string, readonly string[]>
  /** By the key of the record. */
  readonly challenges: ReadonlyMap<string, ChallengeRow>
  /** Values of the settings that are stored; the others have the defaults of the edges. */
  readonly settings: ReadonlyMap<string, unknown>
  readonly ticketEpoch: number
  /** The vault's current key, of which ticket secrets are derived; none in a database without a key ring. */
  readonly vaultKeyId?: number | null
}

/** A record to publish; payload null is a delete. */
export type Change = RecordKey & { readonly payload: Payloads[RecordKind] | null }

/** Settings that edges need; all others stay in the control plane. */
const publishedSettings: ReadonlySet<string> = new Set(['expiredCertificate', 'listenerLimits', ACCESS_LOG_SETTING])

/** Length of an epoch: how long sessions are resumed with tickets of one secret. */
const TICKET_EPOCH_MS = 12 * 60 * 60 * 1_000

/** Keys of the records with ticket secrets, by the age of their epoch: tickets of the one before are still accepted. */
export const ticketKeys: readonly string[] = ['current', 'previous']

/** The epoch of a moment, in milliseconds since 1970. */
export function ticketEpochAt(nowMs: number): number {
  return Math.floor(nowMs / TICKET_EPOCH_MS)
}

/** Label under which the vault derives the ticket secret of an epoch, the same on every replica. */
export function ticketLabel(epoch: number): string {
  return `ticket:${epoch}`
}

/**
 * Compiles the record of a key, or null when nothing is to be served under it. What is secret is left
 * empty (`sealedKey`, `sealedSecret`): it is sealed to each edge when it is sent.
 */
export function compileRecord({ kind, key }: RecordKey, sources: Sources): Payloads[RecordKind] | null {
  return compilers[kind](key, sources)
}

type Compiler = (key: string, sources: Sources) => Payloads[RecordKind] | null

const compilers: Record<RecordKind, Compiler> = {
  setting: (key, { settings }) =>
    publishedSettings.has(key) && settings.has(key) ? { value: settings.get(key) } : null,
  'ticket-key': (key, { ticketEpoch, vaultKeyId }) => {
    const age = ticketKeys.indexOf(key)
    const ofKey = vaultKeyId == null ? {} : { keyId: vaultKeyId }
    return age < 0 ? null : { epoch: ticketEpoch - age, sealedSecret: '', ...ofKey }
  },
  certificate: (key, { certificates }) => {
    const row = certificates.get(key)
    if (row === undefined) return null
    return { chainPem: row.chainPem, sealedKey: '', names: row.names, notAfter: row.notAfter.toISOString() }
  },
  site: (key, { sites }) => sites.get(key) ?? null,
  name: (key, { names }) => compileName(names.get(key) ?? []),
  address: (key, sources) => compileAddress(sources.addresses.get(key), sources.siteFingerprints),
  challenge: (key, { challenges }) => {
    const row = challenges.get(key)
    if (row === undefined) return null
    const { name, keyAuthorization, certificatePem } = row
    return certificatePem === null ? { name, keyAuthorization } : { name, certificatePem, sealedKey: '' }
  },
}

/** The proven owner's row; where no proof stands any more, the last one's goes on being served. */
function ownerOf(rows: readonly NameRow[]): NameRow | null {
  const [first, ...rest] = rows
  if (first === undefined) return null
  return rest.reduce((best, row) => (isBefore(row, best) ? row : best), first)
}

function isBefore(a: NameRow, b: NameRow): boolean {
  if (a.isVerified !== b.isVerified) return a.isVerified
  return a.verifiedAt.getTime() > b.verifiedAt.getTime()
}

function compileName(rows: readonly NameRow[]): Payloads['name'] | null {
  const row = ownerOf(rows)
  if (row === null) return null
  return { siteId: row.siteId, certificates: row.fingerprint === null ? [] : [row.fingerprint] }
}

function compileAddress(
  row: AddressRow | undefined,
  siteFingerprints: Sources['siteFingerprints'],
): Payloads['address'] | null {
  if (row === undefined) return null
  if (row.use === 'shared') return { siteId: null, certificates: [], legacyTls: 'none' }
  if (row.siteId === null) return null
  return { siteId: row.siteId, certificates: siteFingerprints.get(row.siteId) ?? [], legacyTls: row.legacyTls }
}

/** One of a site's certificates; `family` is the kind of its key: `rsa`, `ec`. */
export type SiteCertificate = { readonly fingerprint: string; readonly family: string }

/** A listener opens all that an address has when it builds their context. */
const MAX_SHOWN = 8

/**
 * Which of a site's certificates, its first name's first, are for clients that say no name. All of its kind of key, so
 * that one that has expired has others behind it, and those with RSA for clients that know nothing else. Where the first is RSA
 * it suits everybody: another kind would be shown in its place. Of each kind the first come before all second ones.
 */
export function shownWithoutName(certificates: readonly SiteCertificate[]): string[] {
  const [primary] = certificates
  const fits = certificates.filter(({ family }) => family === primary?.family || family === 'rsa')
  const isFirst = (one: SiteCertificate): boolean => fits.find(({ family }) => family === one.family) === one
  const ordered = [...fits.filter(isFirst), ...fits.filter((one) => !isFirst(one))]
  return ordered.slice(0, MAX_SHOWN).map(({ fingerprint }) => fingerprint)
}

/** Each key once; what is no key of a record (a mark made by hand) is left out, so that it cannot stop the feed. */
export function distinctKeys(keys: Iterable<RecordKey>): RecordKey[] {
  const byText = new Map<string, RecordKey>()
  for (const { kind, key } of keys) {
    const isKey = recordKinds.includes(kind) && (kind !== 'site' || isUuid(key))
    if (isKey) byText.set(`${kind} ${key}`, { kind, key })
  }
  return [...byText.values()]
}

/** The keys that names and addresses of `sources` point at: they are published no later than what points at them. */
export function pointedAt(sources: Sources): RecordKey[] {
  const keys: RecordKey[] = []
  const certificate = (fingerprint: string | null | undefined): void => {
    if (fingerprint != null) keys.push({ kind: 'certificate', key: fingerprint })
  }
  for (const rows of sources.names.values()) {
    const row = ownerOf(rows)
    if (row === null) continue
    keys.push({ kind: 'site', key: row.siteId })
    certificate(row.fingerprint)
  }
  for (const row of sources.addresses.values()) {
    if (row.siteId === null) continue
    keys.push({ kind: 'site', key: row.siteId })
    for (const fingerprint of sources.siteFingerprints.get(row.siteId) ?? []) certificate(fingerprint)
  }
  return keys
}

/**
 * What differs from the present records, in the order of publication: new and changed records first,
 * what is pointed at before what points; then deletes the other way round. So at every revision
 * between, a name points at a certificate and a site that are there.
 */
export function planChanges(wanted: readonly Change[], present: ReadonlyMap<string, unknown>): Change[] {
  const changed = wanted.filter(({ kind, key, payload }) => {
    return !isDeepStrictEqual(present.get(`${kind} ${key}`) ?? null, payload)
  })
  const rank = ({ kind }: Change): number => recordKinds.indexOf(kind)
  const written = changed.filter(({ payload }) => payload !== null).sort((a, b) => rank(a) - rank(b))
  const deleted = changed.filter(({ payload }) => payload === null).sort((a, b) => rank(b) - rank(a))
  return [...written, ...deleted]
}
