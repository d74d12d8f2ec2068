import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { inject } from 'vitest'
import { writeArchive } from '../control/backup/archive-writer.ts'
import { writeBackup } from '../control/backup/backup.ts'
import type { Manifest } from '../control/backup/format.ts'
import { openOutput } from '../control/backup/output.ts'
import { restore } from '../control/backup/restore.ts'
import { certificateKeyContext, orderKeyContext } from '../control/certificates/store.ts'
import { type Db, openDatabase } from '../control/db.ts'
import { openVault } from '../control/open-vault.ts'
import { createBlobStore } from '../control/sites/blobs.ts'
import type { Vault } from '../control/vault.ts'
import { quietLog, useLocalCa } from './certificate-rig.ts'
import { createTestDatabase } from './database.ts'
import { onServer } from './global-setup.ts'

/** An installation of rows and blobs, without its processes. */
export type BackupRig = AsyncDisposable & {
  readonly db: Db
  readonly url: string
  readonly folder: string
  readonly masterKeyFile: string
  readonly vault: Vault
  /** Backs up to a file in the rig's folder. */
  backup(name: string, options?: { withMasterKey?: boolean }): Promise<{ file: string; manifest: Manifest }>
}

/** Makes one with something in most tables. */
export async function createBackupRig(): Promise<BackupRig> {
  const database = await createTestDatabase()
  const folder = mkdtempSync(join(tmpdir(), 'nameplate-backup-'))
  const masterKeyFile = join(folder, 'master.key')
  const keys = await openVault({ databaseUrl: database.url, masterKeyFile, log: quietLog() })
  const blobs = createBlobStore(join(folder, 'blobs'))
  await populate(database.db, keys.vault, folder)
  return {
    db: database.db,
    url: database.url,
    folder,
    masterKeyFile,
    vault: keys.vault,
    async backup(name, { withMasterKey = false } = {}) {
      const file = join(folder, name)
      const output = openOutput(file)
      const source = { databaseUrl: database.url, masterKeyFile, blobs, version: 'test' }
      const onPart = (): void => undefined
      const manifest = await writeBackup(source, writeArchive(output.stream), { withMasterKey, onPart })
      await output.keep()
      return { file, manifest }
    },
    async [Symbol.asyncDispose]() {
      await keys.close()
      await database[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A machine to restore to: an empty data directory and an empty database. */
export type EmptyPlace = AsyncDisposable & {
  readonly dataDir: string
  readonly databaseUrl: string
  readonly masterKeyFile: string
  readonly user: null
  restore(file: string, masterKeyFile?: string | null, migrations?: string): Promise<unknown>
}

/** Makes one. */
export async function createEmptyPlace(): Promise<EmptyPlace> {
  const dataDir = mkdtempSync(join(tmpdir(), 'nameplate-restore-'))
  const name = `test_restore_${createHash('sha256').update(dataDir).digest('hex').slice(0, 12)}`
  await onServer(inject('postgresUrl'), `create database ${name}`)
  const url = new URL(inject('postgresUrl'))
  url.pathname = `/${name}`
  const place = { dataDir, databaseUrl: url.href, masterKeyFile: join(dataDir, 'master.key'), user: null }
  return {
    ...place,
    restore: (file, masterKeyFile = null, migrations) =>
      restore(place, {
        file,
        masterKeyFile,
        keepSessions: false,
        onPart: () => undefined,
        ...(migrations === undefined ? {} : { migrations }),
      }),
    async [Symbol.asyncDispose]() {
      await onServer(inject('postgresUrl'), `drop database ${name} with (force)`)
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

/** Every table as text, row by row, in an order of its own. */
export async function tableTexts(url: string): Promise<Map<string, string[]>> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows: tables } = await client.query<{ name: string }>(
      "select tablename as name from pg_tables where schemaname = 'public' order by 1",
    )
    const texts = new Map<string, string[]>()
    for (const { name } of tables) {
      const { rows } = await client.query<{ text: string }>(`select t::text as text from "${name}" t order by 1`)
      texts.set(
        name,
        rows.map(({ text }) => text),
      )
    }
    return texts
  } finally {
    await client.end()
  }
}

/** The blobs of a folder by digest, whatever is temporary left out. */
export function blobTexts(folder: string): Map<string, string> {
  const blobs = new Map<string, string>()
  if (!existsSync(folder)) return blobs
  for (const sub of readdirSync(folder).filter((name) => name.length === 2))
    for (const digest of readdirSync(join(folder, sub)))
      blobs.set(
        digest,
        createHash('sha256')
          .update(readFileSync(join(folder, sub, digest)))
          .digest('hex'),
      )
  return blobs
}

/** Text that a restore must not change: quotes, backslashes, line feeds, what looks like a record or an array. */
export const AWKWARD = 'a"b\\c\nd\te,(f){g}\u2028 \u{1F511} NULL'

async function populate(db: Db, vault: Vault, folder: string): Promise<void> {
  mkdirSync(join(folder, 'blobs'), { recursive: true })
  const blobs = createBlobStore(join(folder, 'blobs'))
  const at = new Date()
  await useLocalCa(db)
  const issuer = await db.issuer.findFirstOrThrow()
  await db.issuer.update({
    where: { id: issuer.id },
    data: { rootKeySealed: vault.seal('root key', `issuer-root-key:${issuer.id}`) },
  })
  const user = await db.user.create({
    data: { email: 'one@example.test', passwordHash: AWKWARD, platformRole: 'admin' },
  })
  await db.session.create({ data: { userId: user.id, secretHash: new Uint8Array(32), expiresAt: at } })
  await db.apiToken.create({
    data: {
      name: AWKWARD,
      userId: user.id,
      hash: new Uint8Array([0, 255, 92]),
      prefix: 'np_x',
      scopes: ['a', AWKWARD],
      allowedCidrs: [],
    },
  })
  for (const key of ['null', 'text'])
    await db.$executeRaw`insert into setting (key, value, updated_at) values (${`test-${key}`}, ${key === 'null' ? 'null' : JSON.stringify({ text: AWKWARD, big: 1e300 })}::jsonb, now())`
  const edge = await db.edge.create({
    data: {
      id: crypto.randomUUID(),
      name: 'e',
      publicKey: new Uint8Array(32),
      feedId: crypto.randomUUID(),
      revision: 12n,
      leaseExpiresAt: new Date(at.getTime() + 3_600_000),
    },
  })
  await db.edgeException.create({ data: { edgeId: edge.id, kind: 'site', key: 'x', revision: 3n, state: 'refused' } })
  for (let index = 0; index < 40; index += 1) await populateTenant(db, vault, blobs, index, { issuerId: issuer.id, at })
  await db.idempotencyKey.create({
    data: {
      actorId: 'user:1',
      key: 'k',
      requestHash: new Uint8Array(32),
      status: 201,
      body: Buffer.from(vault.seal('answer', 'idempotency:user:1:k')).toString('base64'),
    },
  })
  const detail = { text: AWKWARD.repeat(20) }
  await db.event.createMany({
    data: Array.from({ length: 5_000 }, () => ({ actor: 'system', action: 'test.event', detail })),
  })
}

async function populateTenant(
  db: Db,
  vault: Vault,
  blobs: ReturnType<typeof createBlobStore>,
  index: number,
  { issuerId, at }: { issuerId: string; at: Date },
): Promise<void> {
  const tenant = await db.tenant.create({ data: { name: `tenant ${index}` } })
  const site = await db.site.create({ data: { tenantId: tenant.id, name: 'www', kind: 'static' } })
  const page = await blobs.put(chunks(`page of ${index}`))
  const files = { 'index.html': { ...page, type: 'text/html', encoded: {} } }
  const manifest = await blobs.put(chunks(JSON.stringify({ version: 1, createdAt: at.toISOString(), files })))
  const release = await db.release.create({
    data: { siteId: site.id, number: 1, manifestDigest: manifest.digest, files: 1, bytes: 9n },
  })
  await db.site.update({ where: { id: site.id }, data: { activeReleaseId: release.id } })
  const domain = await db.domain.create({
    data: { tenantId: tenant.id, name: `t${index}.test`, token: `token-${index}` },
  })
  const certificate = await db.certificate.create({
    data: {
      tenantId: tenant.id,
      names: [`www.t${index}.test`],
      issuerId,
      dueAt: null,
      leaseHolder: crypto.randomUUID(),
      leaseExpiresAt: at,
    },
  })
  const fingerprint = createHash('sha256').update(certificate.id).digest('hex')
  const version = await db.certificateVersion.create({
    data: {
      certificateId: certificate.id,
      issuerId,
      fingerprint,
      serial: '1',
      names: certificate.names,
      keyAlgorithm: 'P-256',
      chainPem: `chain ${AWKWARD}`,
      keySealed: vault.seal(`key ${index}`, certificateKeyContext(fingerprint)),
      notBefore: at,
      notAfter: new Date(at.getTime() + 86_400_000),
    },
  })
  await db.certificate.update({ where: { id: certificate.id }, data: { activeVersionId: version.id, state: 'valid' } })
  const orderId = crypto.randomUUID()
  await db.order.create({
    data: {
      id: orderId,
      certificateId: certificate.id,
      issuerId,
      names: certificate.names,
      state: 'valid',
      keySealed: vault.seal(`order ${index}`, orderKeyContext(orderId)),
    },
  })
  await db.hostname.create({
    data: {
      tenantId: tenant.id,
      domainId: domain.id,
      siteId: site.id,
      name: `www.t${index}.test`,
      ownershipState: 'verified',
      verifiedAt: at,
      certificateId: certificate.id,
      checkProblem: { code: AWKWARD },
    },
  })
}

async function* chunks(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text)
}

/** Opens a database that was restored. */
export function openRestored(place: EmptyPlace): AsyncDisposable & { readonly db: Db } {
  const db = openDatabase(place.databaseUrl, 2)
  return { db, [Symbol.asyncDispose]: () => db.$disconnect() }
}
