import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { faultPoint } from '../../process/fault-point.ts'
import { takeLock } from '../../process/lock.ts'
import { OperatorError } from '../../process/operator-error.ts'
import {
  type RestoreMarker,
  readRestoreMarker,
  removeRestoreMarker,
  writeRestoreMarker,
} from '../../process/restore-marker.ts'
import type { Settings } from '../../process/settings.ts'
import { withDatabase } from '../../process/with-database.ts'
import { openDatabase, write } from '../db.ts'
import { recordEvent } from '../events/record.ts'
import { migrate, readMigrations } from '../migrate.ts'
import { createBlobStore } from '../sites/blobs.ts'
import { loadMasterKey, MasterKeyError } from '../vault.ts'
import { BackupFileError, readArchive } from './archive-reader.ts'
import { beginLoading, feedIdOf, migrationsOf } from './load.ts'
import { installMasterKey } from './master-key-file.ts'
import { type VerifiedBackup, verifyBackup } from './verify.ts'
import type { OnPart } from './write-parts.ts'

/** Blobs that are put on the disk together. */
const BLOBS_AT_ONCE = 200

/** What a person chooses of a restore. */
export type RestoreOptions = {
  readonly file: string
  /** Where the master key is, when it is not at its place yet. */
  readonly masterKeyFile: string | null
  readonly keepSessions: boolean
  /** The migrations of the version that restores; default this one's. */
  readonly migrations?: string
  readonly onPart: OnPart
}

type Place = Pick<Settings, 'dataDir' | 'databaseUrl' | 'user' | 'masterKeyFile'>

/**
 * Restores a backup into an empty installation. First the whole file is checked, then a marker is set that keeps
 * everything from starting here until all is done; a restore that was killed is begun again by the same call. Throws
 * `OperatorError` (a `BackupFileError`, a `MasterKeyError`) with what to do; then nothing was changed, or the
 * marker says so.
 */
export async function restore(place: Place, options: RestoreOptions): Promise<VerifiedBackup> {
  const { dataDir } = place
  const release = takeLock(dataDir, 'control')
  try {
    const before = readRestoreMarker(dataDir)
    if (before === null) refuseUsedFolder(dataDir)
    await using file = await open(options.file)
    const backup = await verifyBackup(file, (inFile) => masterKeyOf(place, options, inFile))
    migrationsOf(backup.header, readMigrations(options.migrations))
    if (before === null && place.databaseUrl !== null) await refuseUsedDatabase(place.databaseUrl)
    const fresh = { feedId: randomUUID(), startedAt: new Date().toISOString(), isServerMade: false }
    const marker: RestoreMarker = before ?? fresh
    writeRestoreMarker(dataDir, marker)
    installMasterKey(place.masterKeyFile, backup.masterKey)
    if (!marker.isServerMade && place.databaseUrl === null)
      rmSync(join(dataDir, 'postgres'), { recursive: true, force: true })
    await withDatabase(place, { isAlone: true }, async (url) => {
      writeRestoreMarker(dataDir, { ...marker, isServerMade: true })
      await fill({ url, file, backup, dataDir, marker, options })
    })
    removeRestoreMarker(dataDir)
    return backup
  } finally {
    release()
  }
}

type Filling = {
  readonly url: string
  readonly file: FileHandle
  readonly backup: VerifiedBackup
  readonly dataDir: string
  readonly marker: RestoreMarker
  readonly options: RestoreOptions
}

async function fill(filling: Filling): Promise<void> {
  const { url, backup, marker } = filling
  const client = new pg.Client({ connectionString: url, application_name: 'nameplate restore' })
  client.on('error', () => undefined)
  await client.connect()
  try {
    const present = await feedIdOf(client)
    if (present !== undefined && present !== marker.feedId) throw usedDatabase()
    if (present === undefined) await load(client, filling)
  } finally {
    await client.end().catch(() => undefined)
  }
  faultPoint('restore.loaded')
  await migrate(url, filling.options.migrations)
  const db = openDatabase(url, 1)
  try {
    const detail = { backupOf: backup.header.createdAt, version: backup.header.version }
    await write(db, {}, (tx) =>
      recordEvent(tx, { actor: 'system', tenantId: null, action: 'installation.restored', detail }),
    )
  } finally {
    await db.$disconnect()
  }
}

/** Content first, then the commit of the rows that need it. */
async function load(client: pg.Client, { file, backup, dataDir, marker, options }: Filling): Promise<void> {
  const { header, manifest, parts } = backup
  const schema = migrationsOf(header, readMigrations(options.migrations))
  const loading = await beginLoading(client, schema, manifest)
  const blobs = createBlobStore(join(dataDir, 'blobs'))
  blobs.clearTemporary()
  await using staging = await blobs.stage()
  let staged = 0
  for await (const entry of readArchive(file)) {
    if (entry.kind === 'table') {
      const part = parts.get(entry.name)
      if (part === undefined) throw new BackupFileError('the backup was changed while it was restored')
      await loading.part(entry.table, part, await entry.read())
      options.onPart({ rows: part.rows, bytes: entry.bytes })
      faultPoint('restore.part')
    } else if (entry.kind === 'blob') {
      const { digest } = await staging.add(entry.content)
      if (digest !== entry.digest) throw new BackupFileError(`the backup is damaged at ${entry.name}: take another one`)
      staged += 1
      if (staged % BLOBS_AT_ONCE === 0) await staging.commit()
      options.onPart({ blobs: 1, bytes: entry.bytes })
    } else await entry.read()
  }
  await staging.commit()
  faultPoint('restore.blobs')
  await loading.commit({ feedId: marker.feedId, keepSessions: options.keepSessions })
}

/** The key that was named, else the one at its place, else the one in the file. */
function masterKeyOf(place: Place, options: RestoreOptions, inFile: Buffer | null): Buffer | null {
  const atPlace = existsSync(place.masterKeyFile) ? loadMasterKey(place.masterKeyFile, false) : null
  const named = options.masterKeyFile === null ? null : loadMasterKey(options.masterKeyFile, false)
  const chosen = named ?? atPlace ?? inFile
  if (atPlace !== null && chosen !== null && !atPlace.equals(chosen))
    throw new MasterKeyError(
      `NAMEPLATE_MASTER_KEY_FILE: ${place.masterKeyFile} is there and is another key than that of the backup: move it away`,
    )
  return chosen
}

/** What the listener has on the same machine stays: it takes everything anew. */
function refuseUsedFolder(dataDir: string): void {
  for (const name of ['postgres', 'blobs']) {
    const path = join(dataDir, name)
    if (!existsSync(path) || readdirSync(path).length === 0) continue
    throw new OperatorError(
      `${path}: there is an installation here already, and a restore never overwrites one: use an empty NAMEPLATE_DATA_DIR, or move this one away`,
    )
  }
}

async function refuseUsedDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  client.on('error', () => undefined)
  await client.connect()
  try {
    if ((await feedIdOf(client)) !== undefined) throw usedDatabase()
  } finally {
    await client.end().catch(() => undefined)
  }
}

function usedDatabase(): OperatorError {
  return new OperatorError(
    'DATABASE_URL: the database has tables already, and a restore never overwrites any: make an empty database for it',
  )
}
