import { createHash, createHmac } from 'node:crypto'
import { isDigest } from '../../contract/ids.ts'
import type { KeyringRows } from '../keyring.ts'

/**
 * A backup: one tar, compressed with zstd. In this order `header.json`, `tables/<table>/<part>.jsonl`,
 * `blobs/<digest>`, perhaps `master.key`, then `manifest.json` (what all the parts are) and `manifest.mac`
 * (HMAC-SHA-256 of the manifest under a key that only who has the master key can derive).
 */

/** Rises when an older version could not read what is written. */
export const FORMAT = 1

/** Largest entry that is held in memory; table parts are closed long before, but one row may be large. */
export const MAX_PART_BYTES = 256 * 1024 * 1024

/** Label under which the vault derives the key of the manifest's MAC. */
export const MAC_LABEL = 'backup'

/** What is known before the first row: enough to refuse a file that this version or this key cannot restore. */
export type Header = {
  readonly format: number
  /** The version of Nameplate that wrote it. */
  readonly version: string
  readonly createdAt: string
  readonly migrations: readonly { readonly name: string; readonly checksum: string }[]
  /** The key ring, wrapped: tells a wrong master key. Bytes in hex. */
  readonly keyring: StoredKeyring
}

/** `KeyringRows` in JSON. */
export type StoredKeyring = {
  readonly masterKeyCheck: string
  readonly nextMasterKeyCheck: string | null
  readonly keys: readonly {
    readonly id: number
    readonly state: 'coming' | 'current' | 'leaving' | 'gone'
    readonly wrapped: string | null
    readonly wrappedNext: string | null
  }[]
}

/** One part of a table: a row in each line, as JSON text of PostgreSQL's own text of it. */
export type TablePart = {
  readonly name: string
  readonly bytes: number
  readonly sha256: string
  readonly rows: number
}

/** One table. */
export type TableSummary = {
  readonly name: string
  readonly columns: readonly string[]
  readonly rows: number
  readonly parts: readonly TablePart[]
}

/** What a backup consists of. */
export type Manifest = {
  readonly format: number
  readonly headerSha256: string
  readonly tables: readonly TableSummary[]
  /** Where the sequences stood; null: never used. */
  readonly sequences: readonly { readonly name: string; readonly lastValue: string | null }[]
  /** `sha256` is over all digests in the order of the file, each with a line feed. */
  readonly blobs: { readonly count: number; readonly bytes: number; readonly sha256: string }
  /** Content of releases that was not there, or was not what its name says: the backup is without it. */
  readonly missing: readonly { readonly digest: string; readonly reason: 'missing' | 'damaged' }[]
  readonly hasMasterKey: boolean
}

/** What an entry's name says; null: no entry of a backup has such a name. */
export type EntryKind =
  | { readonly kind: 'header' | 'master-key' | 'manifest' | 'mac' }
  | { readonly kind: 'table'; readonly table: string }
  | { readonly kind: 'blob'; readonly digest: string }

const fixed = {
  'header.json': 'header',
  'master.key': 'master-key',
  'manifest.json': 'manifest',
  'manifest.mac': 'mac',
} as const

/** Reads the name of an entry. Only these names are ever read: none becomes a path but a digest. */
export function entryKind(name: string): EntryKind | null {
  if (Object.hasOwn(fixed, name)) return { kind: fixed[name as keyof typeof fixed] }
  const [, table] = /^tables\/([a-z_][a-z0-9_]{0,62})\/\d{6,9}\.jsonl$/.exec(name) ?? []
  if (table !== undefined) return { kind: 'table', table }
  const digest = name.startsWith('blobs/') ? name.slice('blobs/'.length) : ''
  return isDigest(digest) ? { kind: 'blob', digest } : null
}

/** The name of a table's part, counted from 1. */
export function partName(table: string, part: number): string {
  return `tables/${table}/${String(part).padStart(6, '0')}.jsonl`
}

/** The name of a blob's entry. */
export function blobName(digest: string): string {
  return `blobs/${digest}`
}

/** SHA-256 in hex. */
export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** The MAC of a manifest, hex. */
export function macOf(key: Uint8Array, manifest: Uint8Array): string {
  return createHmac('sha256', key).update(manifest).digest('hex')
}

/** For the header: what is retired stays in its own table. */
export function storedKeyring(rows: KeyringRows): StoredKeyring {
  const hex = (bytes: Uint8Array | null): string | null => (bytes === null ? null : Buffer.from(bytes).toString('hex'))
  return {
    masterKeyCheck: Buffer.from(rows.masterKeyCheck).toString('hex'),
    nextMasterKeyCheck: hex(rows.nextMasterKeyCheck),
    keys: rows.keys.map((key) => ({ ...key, wrapped: hex(key.wrapped), wrappedNext: hex(key.wrappedNext) })),
  }
}

/** Back from the header. */
export function keyringRows(stored: StoredKeyring): KeyringRows {
  const bytes = (hex: string | null): Buffer | null => (hex === null ? null : Buffer.from(hex, 'hex'))
  return {
    version: 0,
    masterKeyCheck: Buffer.from(stored.masterKeyCheck, 'hex'),
    nextMasterKeyCheck: bytes(stored.nextMasterKeyCheck),
    keys: stored.keys.map((key) => ({ ...key, wrapped: bytes(key.wrapped), wrappedNext: bytes(key.wrappedNext) })),
    retired: [],
  }
}
