import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createTestDatabase } from './database.ts'
import {
  type EdgeRig,
  seedHostname,
  seedInstallation,
  seedTenant,
  settled,
  startEdgeRig,
  startPublishRig,
  temporaryFolder,
  until,
} from './publish-rig.ts'
import { mountSmallDisk } from './small-disk.ts'

const DISK_KIB = 4_096

/** Takes all room of a file system but `leaveBytes`. */
function fill(folder: string, leaveBytes: number): string {
  const { bavail, bsize } = statfsSync(folder)
  const path = join(folder, 'filler')
  writeFileSync(path, Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes)))
  return path
}

const digestOf = (content: Buffer): string => createHash('sha256').update(content).digest('hex')

test('an edge whose disk is full serves what it has, says why, and goes on when there is room', async (context) => {
  await using folder = temporaryFolder()
  const diskFolder = join(folder.path, 'disk')
  mkdirSync(diskFolder)
  using disk = mountSmallDisk(diskFolder, DISK_KIB)
  if (disk === null) return context.skip('no tmpfs can be mounted here: this needs root')
  await using database = await createTestDatabase()
  const { db } = database
  await seedInstallation(db)
  const seed = await seedTenant(db, 'one.test')
  await seedHostname(db, seed, 'before.one.test', null)
  await using rig = await startPublishRig(database, join(folder.path, 's'))
  await using edge = startEdgeRig(rig.socketPath, diskFolder)
  await settled(db, edge)

  const filler = fill(diskFolder, 16_384)
  const pages = Array.from({ length: 300 }, (_, index) => `https://x.test/${index}/${'p'.repeat(500)}`)
  const data = { tenantId: seed.tenantId, kind: 'redirect' } as const
  await db.site.createMany({ data: pages.map((redirectTo) => ({ ...data, name: randomUUID(), redirectTo })) })
  await until('it is published', async () => (await db.feedChange.count()) === 0)
  await until('the edge has tried and lost its link', () => !edge.link.isConnected)
  expect(edge.store.get('name', 'before.one.test')).not.toBeNull()
  rmSync(filler)
  await settled(db, edge)

  await showsReason(rig.blobs, db, seed.tenantId, edge)
}, 180_000)

type Database = Awaited<ReturnType<typeof createTestDatabase>>

/** Content that does not fit: the administrator reads why, and the site is served once there is room. */
async function showsReason(
  blobs: Map<string, Buffer>,
  db: Database['db'],
  tenantId: string,
  edge: EdgeRig,
): Promise<void> {
  const file = randomBytes(1_000_000)
  const content = { digest: digestOf(file), bytes: file.length, type: 'text/plain', encoded: {} }
  const manifest = Buffer.from(JSON.stringify({ version: 1, createdAt: 'x', files: { a: content } }))
  blobs.set(content.digest, file).set(digestOf(manifest), manifest)
  const filler = fill(edge.folder, 500_000)
  const { id: siteId } = await db.site.create({ data: { tenantId, name: 'static', kind: 'static' } })
  const release = { siteId, number: 1, manifestDigest: digestOf(manifest), files: 1, bytes: 1n }
  const { id: activeReleaseId } = await db.release.create({ data: release })
  await db.site.update({ where: { id: siteId }, data: { activeReleaseId } })
  await until('the reason is told', async () => {
    const exception = await db.edgeException.findFirst({ where: { key: siteId } })
    return exception?.reason?.includes('no room') === true
  })
  rmSync(filler)
  await until('the site is served', () => edge.store.get('site', siteId)?.manifest === release.manifestDigest)
}
