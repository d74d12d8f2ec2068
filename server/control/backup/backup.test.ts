import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { constants, createZstdCompress, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { extract, type Header, pack } from 'tar-stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { refuseHalfRestore } from '../../process/restore-marker.ts'
import {
  type BackupRig,
  blobTexts,
  createBackupRig,
  createEmptyPlace,
  openRestored,
  tableTexts,
} from '../../test/backup-rig.ts'
import { quietLog } from '../../test/certificate-rig.ts'
import { certificateKeyContext } from '../certificates/store.ts'
import { openVault } from '../open-vault.ts'
import { createBlobStore } from '../sites/blobs.ts'
import { collectBlobs } from '../sites/collect.ts'
import { writeArchive } from './archive-writer.ts'
import { writeBackup } from './backup.ts'
import { openOutput } from './output.ts'

let rig: BackupRig
let file: string
beforeAll(async () => {
  rig = await createBackupRig()
  file = (await rig.backup('backup.tar.zst')).file
})
afterAll(async () => {
  await rig?.[Symbol.asyncDispose]()
})

type Entry = { header: Partial<Header> & { name: string }; content: Buffer }

async function entriesOf(path: string): Promise<Entry[]> {
  const entries: Entry[] = []
  const tar = extract()
  tar.end(zstdDecompressSync(readFileSync(path)))
  for await (const entry of tar as AsyncIterable<AsyncIterable<Buffer> & { header: Header }>) {
    const content: Buffer[] = []
    for await (const chunk of entry) content.push(chunk)
    const { name, type } = entry.header
    entries.push({ header: { name, type: type ?? 'file' }, content: Buffer.concat(content) })
  }
  return entries
}

/** The backup with other entries, compressed as it should be. */
async function altered(name: string, change: (entries: Entry[]) => Entry[]): Promise<string> {
  const tar = pack()
  for (const { header, content } of change(await entriesOf(file))) tar.entry(header as Header, content)
  tar.finalize()
  const path = join(rig.folder, name)
  const chunks: Buffer[] = []
  for await (const chunk of tar.pipe(createZstdCompress() as never) as unknown as AsyncIterable<Buffer>)
    chunks.push(chunk)
  writeFileSync(path, Buffer.concat(chunks))
  return path
}

/** Refused, and nothing was begun: what is empty stays so. */
async function refused(path: string, reason: RegExp, key: string | null = rig.masterKeyFile): Promise<void> {
  await using place = await createEmptyPlace()
  await expect(place.restore(path, key)).rejects.toThrow(reason)
  expect(await tableTexts(place.databaseUrl)).toEqual(new Map())
  expect(existsSync(join(place.dataDir, 'restore.json'))).toBe(false)
  expect(existsSync(join(place.dataDir, 'blobs'))).toBe(false)
  expect(existsSync(place.masterKeyFile)).toBe(false)
}

test('a restored installation is the same, table by table and blob by blob, but for what belongs to the old machine', async () => {
  await using place = await createEmptyPlace()
  await place.restore(file, rig.masterKeyFile)
  const [before, after] = [await tableTexts(rig.url), await tableTexts(place.databaseUrl)]
  expect([...after.keys()]).toEqual([...before.keys()])
  const own = ['installation', 'edge', 'edge_exception', 'session', 'certificate', 'event', 'schema_migration']
  for (const [table, rows] of before) if (!own.includes(table)) expect(after.get(table), table).toEqual(rows)
  expect(before.get('certificate_version')).toHaveLength(40)
  expect(after.get('event')).toHaveLength((before.get('event')?.length ?? 0) + 1)
  expect(
    after
      .get('event')
      ?.slice(0, -1)
      .concat(after.get('event')?.slice(-1) ?? []),
  ).toEqual(expect.arrayContaining(before.get('event') ?? []))
  expect(blobTexts(join(place.dataDir, 'blobs'))).toEqual(blobTexts(join(rig.folder, 'blobs')))
  expect(blobTexts(join(place.dataDir, 'blobs')).size).toBe(80)

  await using restored = openRestored(place)
  const { db } = restored
  const [old, fresh] = [await rig.db.installation.findFirstOrThrow(), await db.installation.findFirstOrThrow()]
  expect(fresh).toMatchObject({ ...old, feedId: expect.any(String) })
  expect(fresh.feedId).not.toBe(old.feedId)
  expect(await db.session.count()).toBe(0)
  expect(await db.edgeException.count()).toBe(0)
  expect(await db.edge.findFirstOrThrow()).toMatchObject({ feedId: null, revision: 0n, leaseExpiresAt: null })
  const lease = { leaseHolder: null, leaseExpiresAt: null }
  const certificates = await rig.db.certificate.findMany({ orderBy: { id: 'asc' } })
  expect(await db.certificate.findMany({ orderBy: { id: 'asc' } })).toEqual(
    certificates.map((row) => ({ ...row, ...lease })),
  )
  // Rules and triggers are back, sequences go on, nothing is marked that was not.
  await expect(db.site.updateMany({ data: { activeReleaseId: crypto.randomUUID() } })).rejects.toThrow()
  const marks = await db.feedChange.count()
  await db.tenant.updateMany({ data: { state: 'suspended' } })
  expect(await db.feedChange.count()).toBe(marks + 40)

  const keys = await openVault({ ...place, log: quietLog() })
  const version = await db.certificateVersion.findFirstOrThrow()
  expect(keys.vault.unseal(version.keySealed, certificateKeyContext(version.fingerprint)).toString()).toMatch(
    /^key \d+$/,
  )
  await keys.close()
  expect(() => refuseHalfRestore(place.dataDir)).not.toThrow()
  await expect(place.restore(file, rig.masterKeyFile)).rejects.toThrow(/never overwrites/)
})

test('the file holds no usable key, and is for its owner alone', async () => {
  expect(statSync(file).mode & 0o777).toBe(0o600)
  const key = readFileSync(rig.masterKeyFile)
  const plain = zstdDecompressSync(readFileSync(file))
  for (const secret of [key, key.toString('hex'), key.toString('base64'), 'key 1"', 'root key'])
    expect(plain.includes(secret)).toBe(false)
  const { file: withKey, manifest } = await rig.backup('with-key.tar.zst', { withMasterKey: true })
  expect(manifest.hasMasterKey).toBe(true)
  await using place = await createEmptyPlace()
  await place.restore(withKey)
  expect(readFileSync(place.masterKeyFile)).toEqual(key)
  expect(statSync(place.masterKeyFile).mode & 0o777).toBe(0o600)
})

test('a newer version restores it and brings it up; an older one refuses it', async () => {
  const migrations = join(rig.folder, 'migrations')
  cpSync(fileURLToPath(new URL('../../../prisma/migrations', import.meta.url)), migrations, { recursive: true })
  const own = readdirSync(migrations).filter((name) => /^\d/.test(name))
  mkdirSync(join(migrations, '29990101000000_later'))
  const sql = "alter table tenant add column later text not null default 'x';"
  writeFileSync(join(migrations, '29990101000000_later', 'migration.sql'), sql)
  await using place = await createEmptyPlace()
  await place.restore(file, rig.masterKeyFile, migrations)
  const after = await tableTexts(place.databaseUrl)
  const before = await tableTexts(rig.url)
  expect(after.get('tenant')).toEqual(before.get('tenant')?.map((text) => text.replace(/\)$/, ',x)')))
  expect(after.get('schema_migration')).toHaveLength(own.length + 1)

  const removed = ['29990101000000_later', own.sort().at(-1) ?? '']
  for (const name of removed) rmSync(join(migrations, name), { recursive: true })
  await using older = await createEmptyPlace()
  const refusal = older.restore(file, rig.masterKeyFile, migrations)
  await expect(refusal).rejects.toThrow(/newer than this version.*upgrade first/)
  expect(await tableTexts(older.databaseUrl)).toEqual(new Map())
  expect(existsSync(join(older.dataDir, 'restore.json'))).toBe(false)
})

describe('refuses before anything is written', () => {
  test('another master key, and none', async () => {
    const other = join(rig.folder, 'other.key')
    writeFileSync(other, Buffer.alloc(32, 9))
    await refused(file, /not the one that the backup was made with/, other)
    await refused(file, /master key is not there/, null)
  })

  test('a file that was cut off, wherever', async () => {
    const bytes = readFileSync(file)
    for (const share of [0.1, 0.5, 0.9, 0.999]) {
      const cut = join(rig.folder, 'cut.tar.zst')
      writeFileSync(cut, bytes.subarray(0, Math.floor(bytes.length * share)))
      await refused(cut, /damaged or not whole|not whole/)
    }
    writeFileSync(join(rig.folder, 'empty.tar.zst'), '')
    await refused(join(rig.folder, 'empty.tar.zst'), /not whole|no backup/)
    writeFileSync(join(rig.folder, 'text.tar.zst'), 'this is a text\n')
    await refused(join(rig.folder, 'text.tar.zst'), /damaged or not whole|no backup/)
  })

  test('a flipped byte, in what is compressed and in what is in it', async () => {
    const bytes = readFileSync(file)
    for (const place of [200, Math.floor(bytes.length / 2), bytes.length - 300]) {
      const flipped = Buffer.from(bytes)
      flipped[place] = (flipped[place] ?? 0) ^ 1
      writeFileSync(join(rig.folder, 'flipped.tar.zst'), flipped)
      await refused(join(rig.folder, 'flipped.tar.zst'), /damaged|not what its manifest says|not authentic|no backup/)
    }
    const plain = zstdDecompressSync(bytes)
    const at = plain.indexOf('tenant 7')
    plain[at] = 'T'.charCodeAt(0)
    writeFileSync(
      join(rig.folder, 'row.tar.zst'),
      zstdCompressSync(plain, { params: { [constants.ZSTD_c_checksumFlag]: 1 } }),
    )
    await refused(join(rig.folder, 'row.tar.zst'), /not what its manifest says at tables\/tenant/)
  })

  test('a row that was added together with its digest: the manifest is not authentic', async () => {
    const path = await altered('forged.tar.zst', (entries) => {
      const user = entries.find(({ header }) => header.name.startsWith('tables/user/'))
      const manifest = entries.find(({ header }) => header.name === 'manifest.json')
      if (user === undefined || manifest === undefined) throw new Error('no such entry')
      const before = createHash('sha256').update(user.content).digest('hex')
      user.content = Buffer.from(user.content.toString().replace('one@example.test', 'eve@example.test'))
      const after = createHash('sha256').update(user.content).digest('hex')
      manifest.content = Buffer.from(manifest.content.toString().replace(before, after))
      return entries
    })
    await refused(path, /not authentic/)
  })

  test.each([
    ['a path that leads out', { name: 'blobs/../../../etc/x' }],
    ['an absolute path', { name: '/etc/passwd' }],
    ['a table that is none', { name: 'tables/pg_catalog.pg_class/000001.jsonl' }],
    ['a link', { name: `blobs/${'a'.repeat(64)}`, type: 'symlink' as const, linkname: '/etc/passwd' }],
    ['a folder', { name: 'blobs', type: 'directory' as const }],
  ])('%s', async (_what, header) => {
    const path = await altered('path.tar.zst', ([head, ...rest]) => [
      head as Entry,
      { header, content: Buffer.alloc(0) },
      ...rest,
    ])
    await refused(path, /nothing named/)
  })

  test('a newer format', async () => {
    const change = (edit: (header: Record<string, unknown>) => void) => (entries: Entry[]) => {
      const [head] = entries
      if (head === undefined) throw new Error('no header')
      const header = JSON.parse(head.content.toString()) as Record<string, unknown>
      edit(header)
      head.content = Buffer.from(JSON.stringify(header))
      return entries
    }
    await refused(
      await altered(
        'newer.tar.zst',
        change((header) => (header.format = 99)),
      ),
      /newer format \(99/,
    )
  })

  test('a database and a folder that are in use', async () => {
    await using place = await createEmptyPlace()
    mkdirSync(join(place.dataDir, 'blobs'))
    writeFileSync(join(place.dataDir, 'blobs', 'x'), 'x')
    await expect(place.restore(file, rig.masterKeyFile)).rejects.toThrow(/there is an installation here already/)
    await using other = await createEmptyPlace()
    const used = { ...other, databaseUrl: rig.url }
    const { restore } = await import('./restore.ts')
    const options = { file, masterKeyFile: rig.masterKeyFile, keepSessions: false, onPart: () => undefined }
    await expect(restore(used, options)).rejects.toThrow(/has tables already/)
    expect(existsSync(join(other.dataDir, 'restore.json'))).toBe(false)
  })
})

test('content that a release lost is told, and the rest is backed up', async () => {
  await using other = await createBackupRig()
  const [digest = ''] = blobTexts(join(other.folder, 'blobs')).keys()
  writeFileSync(join(other.folder, 'blobs', digest.slice(0, 2), digest), 'something else')
  const { file: path, manifest } = await other.backup('damaged.tar.zst')
  expect(manifest.missing).toContainEqual({ digest, reason: 'damaged' })
  await using place = await createEmptyPlace()
  await place.restore(path, other.masterKeyFile)
  expect(blobTexts(join(place.dataDir, 'blobs')).has(digest)).toBe(false)
})

test('one moment, while rows are written and a release is deleted and collected', async () => {
  await using other = await createBackupRig()
  const output = openOutput(join(other.folder, 'live.tar.zst'))
  const blobs = createBlobStore(join(other.folder, 'blobs'))
  const source = { databaseUrl: other.url, masterKeyFile: other.masterKeyFile, blobs, version: 'test' }
  let isChanged = false
  const change = async (): Promise<void> => {
    await other.db.site.updateMany({ data: { activeReleaseId: null } })
    await other.db.release.deleteMany()
    await other.db.tenant.create({ data: { name: 'came later' } })
    const later = new Date(Date.now() + 10 * 3_600_000)
    expect(await collectBlobs({ db: other.db, blobs }, later, AbortSignal.timeout(60_000))).toBe(0)
    isChanged = true
  }
  const archive = writeArchive(output.stream)
  const slow = {
    ...archive,
    async add(name: string, bytes: Uint8Array) {
      // The snapshot has begun, and nothing of it was read yet.
      if (name === 'header.json') await change()
      await archive.add(name, bytes)
    },
  }
  const manifest = await writeBackup(source, slow, { withMasterKey: false, onPart: () => undefined })
  await output.keep()
  expect(isChanged).toBe(true)
  expect(manifest.missing).toEqual([])
  await using place = await createEmptyPlace()
  await place.restore(join(other.folder, 'live.tar.zst'), other.masterKeyFile)
  await using restored = openRestored(place)
  expect(await restored.db.release.count()).toBe(40)
  expect(await restored.db.tenant.count({ where: { name: 'came later' } })).toBe(0)
  expect(blobTexts(join(place.dataDir, 'blobs')).size).toBe(80)
  // The backup has ended: now they may go.
  const later = new Date(Date.now() + 10 * 3_600_000)
  expect(await collectBlobs({ db: other.db, blobs }, later, AbortSignal.timeout(60_000))).toBe(80)
})
