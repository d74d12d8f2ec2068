import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { isKeyOf, openKeyring } from '../keyring.ts'
import { MasterKeyError, vaultOf } from '../vault.ts'
import { type ArchiveEntry, BackupFileError, readArchive } from './archive-reader.ts'
import {
  FORMAT,
  type Header,
  keyringRows,
  MAC_LABEL,
  type Manifest,
  macOf,
  sha256Of,
  type TablePart,
} from './format.ts'

/** A backup that is whole, and was made by who has the master key. */
export type VerifiedBackup = {
  readonly header: Header
  readonly manifest: Manifest
  /** Parts of tables by name. */
  readonly parts: ReadonlyMap<string, TablePart>
  /** The key that it was verified with. */
  readonly masterKey: Buffer
}

/** What the check of a whole file has seen. */
type Seen = {
  header: Header | null
  headerSha256: string
  readonly parts: Map<string, { bytes: number; sha256: string }>
  readonly blobs: { count: number; bytes: number }
  masterKey: Buffer | null
  manifest: Buffer | null
  mac: string | null
}

/**
 * Reads the whole file and checks each digest against the manifest, and the manifest's MAC. `masterKeyOf` gives the
 * key that restores, from the one in the file if there is one; the header comes first, so that a wrong key or a newer
 * format is told before the rest is read. Throws `BackupFileError` and `MasterKeyError`.
 */
export async function verifyBackup(
  file: FileHandle,
  masterKeyOf: (inFile: Buffer | null) => Buffer | null,
): Promise<VerifiedBackup> {
  const seen: Seen = {
    header: null,
    headerSha256: '',
    parts: new Map(),
    blobs: { count: 0, bytes: 0 },
    masterKey: null,
    manifest: null,
    mac: null,
  }
  const names = createHash('sha256')
  for await (const entry of readArchive(file)) {
    if (seen.mac !== null)
      throw new BackupFileError(`the backup goes on after its end with ${entry.name}: do not use it`)
    if ((seen.header === null) !== (entry.kind === 'header')) throw notOne()
    await look(entry, seen, names)
    if (entry.kind === 'header' && seen.header !== null) checkHeader(seen.header, masterKeyOf(null))
  }
  const { header, manifest: bytes, mac } = seen
  if (header === null || bytes === null || mac === null)
    throw new BackupFileError('the backup is not whole: its end is missing; take another one')
  const masterKey = masterKeyOf(seen.masterKey)
  if (masterKey === null) throw keyMissing()
  const keyring = openKeyring(keyringRows(header.keyring), [masterKey])
  if (macOf(vaultOf(() => keyring).derive(MAC_LABEL), bytes) !== mac)
    throw new BackupFileError(
      'the backup was not written by this installation, or was changed since: its manifest is not authentic',
    )
  const manifest = JSON.parse(bytes.toString('utf8')) as Manifest
  return { header, manifest, parts: compare(seen, manifest, names.digest('hex')), masterKey }
}

async function look(entry: ArchiveEntry, seen: Seen, names: ReturnType<typeof createHash>): Promise<void> {
  switch (entry.kind) {
    case 'header': {
      const bytes = await entry.read()
      seen.header = parsed<Header>(bytes)
      seen.headerSha256 = sha256Of(bytes)
      return
    }
    case 'table': {
      const bytes = await entry.read()
      if (seen.parts.has(entry.name)) throw new BackupFileError(`the backup has ${entry.name} twice: do not use it`)
      seen.parts.set(entry.name, { bytes: bytes.length, sha256: sha256Of(bytes) })
      return
    }
    case 'blob': {
      const hash = createHash('sha256')
      for await (const chunk of entry.content) hash.update(chunk)
      if (hash.digest('hex') !== entry.digest)
        throw new BackupFileError(`the backup is damaged at ${entry.name}: take another one`)
      names.update(`${entry.digest}\n`)
      seen.blobs.count += 1
      seen.blobs.bytes += entry.bytes
      return
    }
    case 'master-key':
      seen.masterKey = Buffer.from((await entry.read()).toString('latin1').trim(), 'hex')
      return
    case 'manifest':
      seen.manifest = await entry.read()
      return
    default:
      seen.mac = (await entry.read()).toString('latin1').trim()
  }
}

/** What can be told from the header alone. */
function checkHeader(header: Header, masterKey: Buffer | null): void {
  if (!Number.isInteger(header.format)) throw notOne()
  if (header.format > FORMAT)
    throw new BackupFileError(
      `the backup is of a newer format (${header.format}; this version reads ${FORMAT}): restore it with Nameplate ${header.version} or newer`,
    )
  if (masterKey === null) return
  const { masterKeyCheck, nextMasterKeyCheck } = keyringRows(header.keyring)
  if (!isKeyOf(masterKey, masterKeyCheck) && !isKeyOf(masterKey, nextMasterKeyCheck))
    throw new MasterKeyError(
      'NAMEPLATE_MASTER_KEY_FILE: this master key is not the one that the backup was made with: give the right one by --master-key FILE',
    )
}

/** Every part that the manifest names is there as it says, and no other. */
function compare(seen: Seen, manifest: Manifest, blobNames: string): ReadonlyMap<string, TablePart> {
  const parts = new Map(manifest.tables.flatMap((table) => table.parts).map((part) => [part.name, part]))
  const isSame =
    seen.headerSha256 === manifest.headerSha256 &&
    seen.parts.size === parts.size &&
    seen.blobs.count === manifest.blobs.count &&
    seen.blobs.bytes === manifest.blobs.bytes &&
    blobNames === manifest.blobs.sha256 &&
    (seen.masterKey !== null) === manifest.hasMasterKey
  const wrong = [...parts.values()].find(({ name, sha256 }) => seen.parts.get(name)?.sha256 !== sha256)
  if (!isSame || wrong !== undefined)
    throw new BackupFileError(
      `the backup is not what its manifest says${wrong === undefined ? '' : ` at ${wrong.name}`}: take another one`,
    )
  return parts
}

function parsed<T>(bytes: Buffer): T {
  try {
    return JSON.parse(bytes.toString('utf8')) as T
  } catch {
    throw notOne()
  }
}

function notOne(): BackupFileError {
  return new BackupFileError('this is no backup of Nameplate: it does not begin with a header')
}

function keyMissing(): MasterKeyError {
  return new MasterKeyError(
    'NAMEPLATE_MASTER_KEY_FILE: the master key is not there and not in the backup: put it there, or give it by --master-key FILE',
  )
}
