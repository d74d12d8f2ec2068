import { join } from 'node:path'
import type { Manifest } from '../../contract/manifest.ts'
import { faultPoint } from '../../process/fault-point.ts'
import { type Actor, actorName, requireTenant } from '../auth/access.ts'
import { type Db, type Tx, write } from '../db.ts'
import { AppError, notFound } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import { createKeyedLimiter, createLimiter } from '../jobs/limit.ts'
import { type Page, type Paged, paged, type WriteOptions } from '../schema.ts'
import { planLimits } from '../tenants/limits.ts'
import { type BlobStore, storageError } from './blobs.ts'
import type { Compressor } from './compress.ts'
import { prepareContent, type ReleaseContent } from './content.ts'
import { readManifest } from './manifests.ts'
import type { Release } from './schema.ts'
import {
  deleteRelease,
  findRelease,
  findSite,
  insertRelease,
  listReleases,
  lockSite,
  type ReleaseRow,
  type SiteRow,
  updateSite,
} from './store.ts'
import { receiveUpload, type Upload } from './upload.ts'
import { releaseView } from './views.ts'

const MIB = 1024 * 1024
/** Of the archive, where the plan says nothing. */
const DEFAULT_UPLOAD_BYTES = 256 * MIB
/** Of the unpacked files, where the plan says nothing. */
const DEFAULT_CONTENT_BYTES = 1024 * MIB
/** A line of 4 Mbit/s brings 256 MiB in this time. The API's own limit for a request is 10 minutes. */
const UPLOAD_MS = 9 * 60_000
const UNPACK_MS = 5 * 60_000
/** Archives that are unpacked at the same time; the others wait on the disk. */
const UNPACKS = 2

/** Uploads of one tenant that are taken at the same time; the others wait unread, so that none fills the disk. */
const UPLOADS_PER_TENANT = 4

/** What the releases service needs. */
export type ReleaseServiceDeps = {
  readonly db: Db
  readonly blobs: BlobStore
  readonly compress: Compressor
}

/** Releases: the versions of a static site's content. All methods throw `AppError` and check access first. */
export type ReleaseService = ReturnType<typeof createReleaseService>

/** Makes the service. */
export function createReleaseService(deps: ReleaseServiceDeps) {
  const { db, blobs } = deps
  const unpackSlot = createLimiter(UNPACKS)
  const uploadSlot = createKeyedLimiter(UPLOADS_PER_TENANT)

  const unpack = async (
    archive: string,
    staging: Awaited<ReturnType<BlobStore['stage']>>,
    site: SiteRow,
    maxBytes: number,
  ) => {
    const signal = AbortSignal.timeout(UNPACK_MS)
    const previous = await previousManifest(blobs, site)
    const { compress } = deps
    const options = { staging, blobs, compress, maxBytes, previous, signal, now: new Date() }
    return prepareContent(archive, options).catch((error: unknown) => {
      throw signal.aborted ? tooSlow('ARCHIVE_REFUSED', 'Unpacking the archive took', UNPACK_MS, error) : error
    })
  }

  /** Stores the content of an archive; nothing of it is left when this throws. */
  const storeContent = async (upload: Upload, site: SiteRow): Promise<ReleaseContent> => {
    const { maxReleaseBytes } = await write(db, {}, (tx) => planLimits(tx, site.tenantId))
    await using staging = await blobs.stage()
    const archive = join(staging.folder, 'archive')
    const signal = AbortSignal.timeout(UPLOAD_MS)
    await receiveUpload(upload, archive, maxReleaseBytes ?? DEFAULT_UPLOAD_BYTES, signal).catch((error: unknown) => {
      throw signal.aborted ? tooSlow('INVALID_INPUT', 'The upload took', UPLOAD_MS, error) : error
    })
    return await unpackSlot(async () => {
      const content = await unpack(archive, staging, site, maxReleaseBytes ?? DEFAULT_CONTENT_BYTES)
      await staging.commit()
      return content
    })
  }

  return {
    /**
     * Makes a release of an uploaded archive, and serves it unless `activate` is false. The row is
     * written when all content is on the disk; two uploads at once get numbers of their own.
     */
    async create(actor: Actor, siteId: string, upload: Upload, activate: boolean): Promise<Release> {
      const site = await accessible(db, actor, siteId, 'member')
      checkStatic(site)
      const content = await uploadSlot(site.tenantId, () => storeContent(upload, site)).catch((error: unknown) => {
        throw storageError(error)
      })
      faultPoint('release.stored')
      const release = await write(db, {}, async (tx) => {
        const locked = await lockSite(tx, siteId)
        if (locked === null) throw notFound('site')
        checkStatic(locked)
        const createdById = actor.kind === 'user' ? actor.userId : null
        const row = await insertRelease(tx, { siteId, createdById, ...content })
        await releaseEvent(tx, actor, locked, row, 'release.created')
        return activate ? activateRow(tx, actor, locked, row) : releaseView(row, locked.activeReleaseId)
      })
      faultPoint('release.activated')
      return release
    },

    async list(actor: Actor, siteId: string, page: Page): Promise<Paged<Release>> {
      const site = await accessible(db, actor, siteId, 'viewer')
      return paged(await listReleases(db, siteId, page), page, (row) => releaseView(row, site.activeReleaseId))
    },

    async get(actor: Actor, siteId: string, id: string): Promise<Release> {
      const site = await accessible(db, actor, siteId, 'viewer')
      const row = await findRelease(db, siteId, id)
      if (row === null) throw notFound('release')
      return releaseView(row, site.activeReleaseId)
    },

    /** Serves an older or newer release. Doing it twice changes nothing. */
    async activate(actor: Actor, siteId: string, id: string, options: WriteOptions): Promise<Release> {
      await accessible(db, actor, siteId, 'member')
      return write(db, options, async (tx) => {
        const [site, row] = await lockRelease(tx, siteId, id)
        if (site.activeReleaseId === id) return releaseView(row, id)
        return activateRow(tx, actor, site, row)
      })
    },

    /** Removes a release that is not served. Its content goes with the next sweep. */
    async remove(actor: Actor, siteId: string, id: string, options: WriteOptions): Promise<void> {
      await accessible(db, actor, siteId, 'member')
      await write(db, options, async (tx) => {
        const [site, row] = await lockRelease(tx, siteId, id)
        if (site.activeReleaseId === id) {
          throw new AppError(
            'IN_USE',
            `Release ${row.number} is served now. Activate another one first, then delete it.`,
          )
        }
        await deleteRelease(tx, id)
        await releaseEvent(tx, actor, site, row, 'release.deleted')
      })
    },
  }
}

async function accessible(db: Db, actor: Actor, siteId: string, role: 'viewer' | 'member'): Promise<SiteRow> {
  if (actor.kind === 'guest') requireTenant(actor, siteId, role)
  const site = await findSite(db, siteId)
  if (site === null) throw notFound('site')
  requireTenant(actor, site.tenantId, role, 'site')
  return site
}

function checkStatic(site: SiteRow): void {
  if (site.kind === 'static') return
  throw new AppError('CONFLICT', `Only a static site takes uploads; "${site.name}" is a ${site.kind}.`)
}

async function lockRelease(tx: Tx, siteId: string, id: string): Promise<[SiteRow, ReleaseRow]> {
  const site = await lockSite(tx, siteId)
  const row = await findRelease(tx, siteId, id)
  if (site === null || row === null) throw notFound('release')
  return [site, row]
}

async function activateRow(tx: Tx, actor: Actor, site: SiteRow, row: ReleaseRow): Promise<Release> {
  await updateSite(tx, site.id, { activeReleaseId: row.id })
  await releaseEvent(tx, actor, site, row, 'release.activated')
  return releaseView(row, row.id)
}

/** Only saves work: a manifest that is gone or damaged means that everything is compressed anew. */
async function previousManifest(blobs: BlobStore, site: SiteRow): Promise<Manifest | null> {
  if (site.activeRelease === null) return null
  return readManifest(blobs, site.activeRelease.manifestDigest).catch(() => null)
}

function tooSlow(code: 'ARCHIVE_REFUSED' | 'INVALID_INPUT', what: string, limitMs: number, cause: unknown): AppError {
  return new AppError(
    code,
    `${what} longer than ${limitMs / 60_000} minutes. Make the archive smaller, then try again.`,
    {
      cause,
    },
  )
}

async function releaseEvent(tx: Tx, actor: Actor, site: SiteRow, row: ReleaseRow, action: string): Promise<void> {
  await recordEvent(tx, {
    actor: actorName(actor),
    tenantId: site.tenantId,
    action,
    subjectId: site.id,
    subjectName: site.name,
    detail: { releaseId: row.id, number: row.number },
  })
}
