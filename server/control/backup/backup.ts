import pg from 'pg'
import { OperatorError } from '../../process/operator-error.ts'
import { isKeyOf, openKeyring, readKeyring } from '../keyring.ts'
import { readMigrations } from '../migrate.ts'
import type { BlobStore } from '../sites/blobs.ts'
import { BACKUP_LOCK } from '../sites/store.ts'
import { loadMasterKey, vaultOf } from '../vault.ts'
import type { ArchiveWriter } from './archive-writer.ts'
import { FORMAT, type Header, MAC_LABEL, type Manifest, macOf, sha256Of, storedKeyring } from './format.ts'
import { beginSnapshot } from './snapshot.ts'
import { type OnPart, writeBlobs, writeTable } from './write-parts.ts'

/** What a backup is made from. */
export type BackupSource = {
  readonly databaseUrl: string
  readonly masterKeyFile: string
  readonly blobs: Pick<BlobStore, 'open'>
  readonly version: string
}

/**
 * Writes the whole installation as of one moment into an archive, while everything runs. A lock holds what the
 * collector of blobs would delete meanwhile, so that all that the snapshot names stays until it is copied. Memory is
 * bounded by the largest row. Throws `OperatorError` for a database that this version has not been started on.
 */
export async function writeBackup(
  source: BackupSource,
  archive: ArchiveWriter,
  options: { readonly withMasterKey: boolean; readonly onPart: OnPart },
): Promise<Manifest> {
  const client = new pg.Client({
    connectionString: source.databaseUrl,
    keepAlive: true,
    application_name: 'nameplate backup',
  })
  client.on('error', () => undefined)
  await client.connect()
  try {
    // Before the snapshot: from here on nothing goes that it names.
    await client.query('select pg_advisory_lock_shared($1)', [BACKUP_LOCK])
    const snapshot = await beginSnapshot(client)
    const masterKey = loadMasterKey(source.masterKeyFile, false)
    const { header, macKey } = await describe(client, masterKey, source.version)
    const headerBytes = jsonBytes(header)
    await archive.add('header.json', headerBytes)
    const tables = []
    for (const table of snapshot.tables) tables.push(await writeTable(archive, snapshot, table, options.onPart))
    const content = await writeBlobs(archive, snapshot, source.blobs, options.onPart)
    if (options.withMasterKey) await archive.add('master.key', Buffer.from(`${masterKey.toString('hex')}\n`))
    const manifest: Manifest = {
      format: FORMAT,
      headerSha256: sha256Of(headerBytes),
      tables,
      sequences: snapshot.sequences,
      ...content,
      hasMasterKey: options.withMasterKey,
    }
    const manifestBytes = jsonBytes(manifest)
    await archive.add('manifest.json', manifestBytes)
    await archive.add('manifest.mac', Buffer.from(`${macOf(macKey, manifestBytes)}\n`))
    await archive.finish()
    return manifest
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function describe(
  client: pg.Client,
  masterKey: Buffer,
  version: string,
): Promise<{ header: Header; macKey: Buffer }> {
  const migrations = readMigrations().map(({ name, checksum }) => ({ name, checksum }))
  if (!(await isAtLevel(client, migrations)))
    throw new OperatorError(
      'the database is not at the schema of this version: start this version of Nameplate once, then back up',
    )
  const rows = await readKeyring(client)
  if (rows === null || rows.keys.length === 0)
    throw new OperatorError('this installation was never started: there is nothing to back up')
  const keyring = openKeyring(rows, [masterKey])
  if (!isKeyOf(masterKey, rows.masterKeyCheck) && !isKeyOf(masterKey, rows.nextMasterKeyCheck))
    throw new OperatorError('the master key does not fit the database: nothing was written')
  return {
    header: {
      format: FORMAT,
      version,
      createdAt: new Date().toISOString(),
      migrations,
      keyring: storedKeyring(rows),
    },
    macKey: vaultOf(() => keyring).derive(MAC_LABEL),
  }
}

async function isAtLevel(client: pg.Client, wanted: Header['migrations']): Promise<boolean> {
  const { rows: history } = await client.query<{ there: boolean }>(
    "select to_regclass('schema_migration') is not null as there",
  )
  if (history[0]?.there !== true) return false
  const { rows } = await client.query<{ name: string; checksum: string }>('select name, checksum from schema_migration')
  const applied = new Map(rows.map((row) => [row.name, row.checksum]))
  return applied.size === wanted.length && wanted.every(({ name, checksum }) => applied.get(name) === checksum)
}

function jsonBytes(value: object): Buffer {
  return Buffer.from(`${JSON.stringify(value, null, 1)}\n`)
}
