import { http01Key, type Payloads, type RecordKind, tlsAlpn01Key } from '../../contract/records.ts'
import type { Db, Tx } from '../db.ts'
import {
  type AddressRow,
  type CertificateRow,
  type ChallengeRow,
  type Change,
  type NameRow,
  type RecordKey,
  type SiteCertificate,
  type Sources,
  shownWithoutName,
} from './compile.ts'

/** Any fixed number: there is one sequencer at a time. */
const SEQUENCER_LOCK = 7_283_002

/** Where the feed stands. */
export type Feed = { readonly feedId: string; readonly revision: number; readonly prunedRevision: number }

/** A record as it is kept: what is secret in it is empty. */
export type StoredRecord = {
  readonly kind: RecordKind
  readonly key: string
  readonly revision: number
  readonly payload: Payloads[RecordKind] | null
}

/** Takes the sequencer's lock until the transaction ends; false when another one has it. */
export async function tryLockSequencer(tx: Tx): Promise<boolean> {
  const rows = await tx.$queryRaw<{ locked: boolean }[]>`select pg_try_advisory_xact_lock(${SEQUENCER_LOCK}) as locked`
  return rows[0]?.locked === true
}

/**
 * Takes the oldest `limit` marks and those of the same transactions, so that what was changed together
 * is published together. (`xmin` is the transaction that wrote a row; a savepoint counts as another.)
 */
export function takeMarks(tx: Tx, limit: number): Promise<RecordKey[]> {
  return tx.$queryRaw<RecordKey[]>`
    with oldest as (select distinct xmin::text as writer from
        (select xmin from feed_change order by id limit ${limit}) as first_marks)
    delete from feed_change where xmin::text in (select writer from oldest) returning kind, key`
}

/** Marks a key that no trigger watches. */
export async function mark(db: Db | Tx, { kind, key }: RecordKey): Promise<void> {
  await db.$executeRaw`select feed_mark(${kind}, ${key})`
}

/** Reads what the records of `keys` are compiled from. */
export async function loadSources(tx: Tx, keys: readonly RecordKey[], ticketEpoch: number): Promise<Sources> {
  const of = (kind: RecordKind): string[] => keys.filter((item) => item.kind === kind).map((item) => item.key)
  const addresses = await loadAddresses(tx, of('address'))
  const siteIds = [...addresses.values()].flatMap(({ siteId }) => (siteId === null ? [] : [siteId]))
  return {
    names: await loadNames(tx, of('name')),
    sites: await loadSites(tx, of('site')),
    certificates: await loadCertificates(tx, of('certificate')),
    addresses,
    siteFingerprints: await loadSiteFingerprints(tx, siteIds),
    challenges: await loadChallenges(tx, of('challenge')),
    settings: await loadSettings(tx, of('setting')),
    ticketEpoch,
    vaultKeyId: of('ticket-key').length === 0 ? null : await loadVaultKeyId(tx),
  }
}

async function loadVaultKeyId(tx: Tx): Promise<number | null> {
  const row = await tx.vaultKey.findFirst({ where: { state: 'current' }, select: { id: true } })
  return row?.id ?? null
}

async function loadNames(tx: Tx, names: string[]): Promise<Map<string, NameRow[]>> {
  if (names.length === 0) return new Map()
  const rows = await tx.$queryRaw<NameRow[]>`
    select h.name, h.site_id::text as "siteId", h.ownership_state = 'verified' as "isVerified",
        coalesce(h.verified_at, h.created_at) as "verifiedAt", v.fingerprint
      from hostname h
      left join certificate c on c.id = h.certificate_id and c.state not in ('retired', 'revoked')
      left join certificate_version v on v.id = c.active_version_id and v.revoked_at is null
      where h.name = any(${names}) and h.ownership_state in ('verified', 'lapsed')`
  return Map.groupBy(rows, (row) => row.name)
}

async function loadSites(tx: Tx, ids: string[]): Promise<Map<string, Payloads['site']>> {
  const rows = await tx.site.findMany({
    where: { id: { in: ids } },
    include: { tenant: { select: { state: true } }, activeRelease: { select: { manifestDigest: true } } },
  })
  return new Map(
    rows.map((row) => [
      row.id,
      {
        tenantId: row.tenantId,
        kind: row.kind,
        state: row.tenant.state === 'suspended' ? 'suspended' : row.state,
        manifest: row.activeRelease?.manifestDigest ?? null,
        upstreams: (row.upstreams ?? []) as unknown as Payloads['site']['upstreams'],
        redirectTo: row.redirectTo,
        redirectStatus: row.redirectStatus,
        isPanel: row.isPanel,
        ...ownOptions(row.options),
      },
    ]),
  )
}

/** Nothing where a site sets nothing, so that most records stay as small as they were. */
function ownOptions(options: unknown): Pick<Payloads['site'], 'options'> {
  const isSet = Object.keys(options as object).length > 0
  return isSet ? { options: options as NonNullable<Payloads['site']['options']> } : {}
}

async function loadCertificates(tx: Tx, fingerprints: string[]): Promise<Map<string, CertificateRow>> {
  if (fingerprints.length === 0) return new Map()
  const rows = await tx.$queryRaw<CertificateRow[]>`
    select v.fingerprint, v.chain_pem as "chainPem", v.names, v.not_after as "notAfter"
      from certificate_version v join certificate c on c.id = v.certificate_id and c.active_version_id = v.id
      where v.fingerprint = any(${fingerprints}) and v.revoked_at is null and c.state not in ('retired', 'revoked')
        and exists (select from hostname h where h.certificate_id = c.id)`
  return new Map(rows.map((row) => [row.fingerprint, row]))
}

async function loadAddresses(tx: Tx, addresses: string[]): Promise<Map<string, AddressRow>> {
  if (addresses.length === 0) return new Map()
  const rows = await tx.$queryRaw<AddressRow[]>`
    select address, use::text, site_id::text as "siteId", legacy_tls::text as "legacyTls"
      from address where address = any(${addresses})`
  return new Map(rows.map((row) => [row.address, row]))
}

/** Per site the certificates of its proven names: those of exact names before those of wildcards, oldest first. */
async function loadSiteFingerprints(tx: Tx, siteIds: string[]): Promise<Map<string, string[]>> {
  if (siteIds.length === 0) return new Map()
  const rows = await tx.$queryRaw<(SiteCertificate & { siteId: string })[]>`
    select h.site_id::text as "siteId", v.fingerprint, regexp_replace(v.key_algorithm, '[^a-z].*', '') as family
      from hostname h
      join certificate c on c.id = h.certificate_id and c.state not in ('retired', 'revoked')
      join certificate_version v on v.id = c.active_version_id and v.revoked_at is null
      where h.site_id = any(${siteIds}::uuid[]) and h.ownership_state = 'verified'
      group by h.site_id, v.fingerprint, v.key_algorithm
      order by h.site_id, min((h.name like '*.%')::int), min(h.created_at), min(h.id::text)`
  return new Map([...Map.groupBy(rows, (row) => row.siteId)].map(([siteId, own]) => [siteId, shownWithoutName(own)]))
}

async function loadSettings(tx: Tx, keys: string[]): Promise<Map<string, unknown>> {
  if (keys.length === 0) return new Map()
  const rows = await tx.setting.findMany({ where: { key: { in: keys } }, select: { key: true, value: true } })
  return new Map(rows.map(({ key, value }) => [key, value]))
}

async function loadChallenges(tx: Tx, keys: string[]): Promise<Map<string, ChallengeRow>> {
  if (keys.length === 0) return new Map()
  const after = (prefix: string): string[] =>
    keys.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length))
  const rows = await tx.challenge.findMany({
    where: {
      OR: [
        { type: 'http-01', token: { in: after(http01Key('')) } },
        { type: 'tls-alpn-01', name: { in: after(tlsAlpn01Key('')) } },
      ],
      state: { in: ['pending', 'submitted'] },
      order: { state: { in: ['created', 'pending', 'ready', 'processing'] } },
    },
    orderBy: { createdAt: 'asc' },
    select: { type: true, token: true, name: true, keyAuthorization: true, certificatePem: true },
  })
  return new Map(
    rows.map(({ type, token, ...row }) => [type === 'http-01' ? http01Key(token) : tlsAlpn01Key(row.name), row]),
  )
}

/** The sealed keys of tls-alpn-01 certificates, by the certificate's PEM. */
export async function readChallengeKeys(db: Db, names: readonly string[]): Promise<Map<string, Uint8Array>> {
  if (names.length === 0) return new Map()
  const rows = await db.challenge.findMany({
    where: { type: 'tls-alpn-01', name: { in: [...names] } },
    select: { certificatePem: true, keySealed: true },
  })
  return new Map(
    rows.flatMap(({ certificatePem, keySealed }) =>
      certificatePem === null || keySealed === null ? [] : [[certificatePem, keySealed]],
    ),
  )
}

/** The present payloads of `keys`, by `<kind> <key>`; deletes are left out. */
export async function loadPresent(tx: Tx, keys: readonly RecordKey[]): Promise<Map<string, unknown>> {
  const rows = await tx.$queryRaw<{ kind: string; key: string; payload: unknown }[]>`
    select kind, key, payload from feed_record
      join jsonb_to_recordset(${JSON.stringify(keys)}::jsonb) as wanted(kind text, key text) using (kind, key)
      where payload is not null`
  return new Map(rows.map((row) => [`${row.kind} ${row.key}`, row.payload]))
}

/** Gives the changes the next revisions in their order. Returns the feed's new head. */
export async function saveChanges(tx: Tx, changes: readonly Change[]): Promise<number> {
  const rows = await tx.$queryRaw<{ revision: bigint }[]>`
    update installation set revision = revision + ${changes.length} where id = 1 returning revision`
  const head = rows[0]?.revision
  if (head === undefined) throw new Error('the database has no installation row: the feed has no id yet')
  const first = Number(head) - changes.length + 1
  const records = changes.map((change, index) => ({ ...change, revision: first + index }))
  await tx.$executeRaw`
    insert into feed_record (kind, key, revision, payload, updated_at)
      select kind, key, revision, payload, now() from jsonb_to_recordset(${JSON.stringify(records)}::jsonb)
        as record(kind text, key text, revision bigint, payload jsonb)
      on conflict (kind, key) do update
        set revision = excluded.revision, payload = excluded.payload, updated_at = excluded.updated_at`
  return Number(head)
}

/**
 * Forgets deletes that every edge has passed; edges that were not seen for 7 days do not count, they
 * take everything anew. Returns how many went.
 */
export async function pruneDeletes(tx: Tx): Promise<number> {
  const rows = await tx.$queryRaw<{ revision: bigint }[]>`
    delete from feed_record where payload is null and revision <= (
        select coalesce(min(e.revision), (select revision from installation where id = 1))
          from edge e where e.updated_at > now() - interval '7 days')
      returning revision`
  if (rows.length === 0) return 0
  const newest = rows.reduce((most, { revision }) => (revision > most ? revision : most), 0n)
  await tx.$executeRaw`
    update installation set pruned_revision = greatest(pruned_revision, ${newest}) where id = 1`
  return rows.length
}

/** Where the feed stands now. */
export async function readFeed(db: Db): Promise<Feed> {
  const row = await db.installation.findUniqueOrThrow({ where: { id: 1 } })
  return { feedId: row.feedId, revision: Number(row.revision), prunedRevision: Number(row.prunedRevision) }
}

/** Records after a revision, in the order of revisions. */
export async function readRecords(db: Db, after: number, limit: number): Promise<StoredRecord[]> {
  const rows = await db.feedRecord.findMany({
    where: { revision: { gt: BigInt(after) } },
    orderBy: { revision: 'asc' },
    take: limit,
    select: { kind: true, key: true, revision: true, payload: true },
  })
  return rows.map((row) => ({ ...row, revision: Number(row.revision) }) as unknown as StoredRecord)
}

/** The sealed keys of certificates, by fingerprint. */
export async function readSealedKeys(db: Db, fingerprints: string[]): Promise<Map<string, Uint8Array>> {
  if (fingerprints.length === 0) return new Map()
  const rows = await db.certificateVersion.findMany({
    where: { fingerprint: { in: fingerprints } },
    select: { fingerprint: true, keySealed: true },
  })
  return new Map(rows.map((row) => [row.fingerprint, row.keySealed]))
}
