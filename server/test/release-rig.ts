import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Manifest } from '../contract/manifest.ts'
import { type BlobStore, createBlobStore } from '../control/sites/blobs.ts'
import { createCompressor } from '../control/sites/compress.ts'
import { readManifest } from '../control/sites/manifests.ts'
import { releaseRoutes } from '../control/sites/release-routes.ts'
import { createReleaseService } from '../control/sites/release-service.ts'
import { type Kind, makePeople, type People } from './api.ts'
import { zipOf } from './archives.ts'
import { createTestDatabase, type TestDatabase } from './database.ts'
import { type Answer, callAs, type ServedApi, serveRoutes } from './hosting.ts'

/** The releases API over HTTP with a database, a blob folder and one static site of its own. */
export type ReleaseRig = AsyncDisposable & {
  readonly folder: string
  readonly database: TestDatabase
  readonly people: People
  readonly api: ServedApi
  readonly blobs: BlobStore
  readonly siteId: string
  /** Replaces how the service stages blobs, until the next call. */
  setStage(stage: BlobStore['stage']): void
  upload(archive: Buffer, query?: string, caller?: Kind, type?: string): Promise<Answer>
  /** The manifest that the site serves now. */
  activeManifest(): Promise<Manifest>
  /** Names of what uploads have not cleaned up. */
  temporaryFiles(): Promise<string[]>
}

/** A .zip with one page. */
export function page(text: string): Buffer {
  return zipOf([{ name: 'index.html', content: text }])
}

/** Makes a rig; dispose it after the test. */
export async function createReleaseRig(): Promise<ReleaseRig> {
  const folder = await mkdtemp(join(tmpdir(), 'nameplate-releases-'))
  const database = await createTestDatabase()
  const { db } = database
  const people = await makePeople(db)
  const blobs = createBlobStore(join(folder, 'blobs'))
  let { stage } = blobs
  const staged = { ...blobs, stage: () => stage() }
  const service = createReleaseService({ db, blobs: staged, compress: createCompressor() })
  const api = await serveRoutes(db, people, [releaseRoutes(service)])
  const { id: siteId } = await db.site.create({ data: { tenantId: people.tenantId, name: 'www', kind: 'static' } })
  return {
    folder,
    database,
    people,
    api,
    blobs,
    siteId,
    setStage(next) {
      stage = next
    },
    upload(archive, query = '', caller = 'member', type = 'application/zip') {
      return callAs(api, caller, 'POST', `/sites/${siteId}/releases${query}`, archive, type)
    },
    async activeManifest() {
      const site = await db.site.findUniqueOrThrow({ where: { id: siteId }, include: { activeRelease: true } })
      const manifest = await readManifest(blobs, site.activeRelease?.manifestDigest ?? '')
      if (manifest === null) throw new Error('the manifest of the active release is missing')
      return manifest
    },
    temporaryFiles: () => readdir(join(folder, 'blobs', 'tmp')).catch(() => []),
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
