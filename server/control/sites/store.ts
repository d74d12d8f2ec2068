import type { Upstream } from '../../contract/records.ts'
import type { SiteOptionsInput } from '../../contract/site-options.ts'
import type { Db, Tx } from '../db.ts'
import { Prisma } from '../generated/client.ts'
import { type Page, pageArguments } from '../schema.ts'
import type { Site, SiteListFilter } from './schema.ts'
import type { SiteContent } from './site-rules.ts'

/** The only writer of the tables `site` and `release`. */

const siteInclude = { activeRelease: true } as const satisfies Prisma.SiteInclude

/** A site with what its view and its rules need. */
export type SiteRow = Prisma.SiteGetPayload<{ include: typeof siteInclude }>

/** A release. */
export type ReleaseRow = Prisma.ReleaseGetPayload<object>

/** A site by id, or null. */
export function findSite(db: Db | Tx, id: string): Promise<SiteRow | null> {
  return db.site.findUnique({ where: { id }, include: siteInclude })
}

/** Like `findSite`, and nobody else changes the site or its releases until `tx` ends. */
export async function lockSite(tx: Tx, id: string): Promise<SiteRow | null> {
  await tx.$queryRaw`select 1 from site where id = ${id}::uuid for update`
  return findSite(tx, id)
}

/** A page of the sites of these tenants. */
export function listSites(db: Db, tenants: 'all' | readonly string[], filter: SiteListFilter): Promise<SiteRow[]> {
  const where: Prisma.SiteWhereInput = { AND: [] }
  if (tenants !== 'all') where.tenantId = { in: [...tenants] }
  if (filter.tenantId !== undefined) where.AND = [{ tenantId: filter.tenantId }]
  if (filter.kind !== undefined) where.kind = filter.kind
  if (filter.q !== undefined) where.name = { contains: filter.q, mode: 'insensitive' }
  return db.site.findMany({ where, include: siteInclude, ...pageArguments(filter) })
}

/** How many sites a tenant has. */
export function countSites(tx: Tx, tenantId: string): Promise<number> {
  return tx.site.count({ where: { tenantId } })
}

/** A new site. Unique violation: the name is taken in this tenant. */
export function insertSite(
  tx: Tx,
  site: {
    tenantId: string
    name: string
    kind: Site['kind']
    isPanel?: boolean
    options?: SiteOptionsInput
  } & SiteContent,
): Promise<SiteRow> {
  const { options, upstreams, ...rest } = site
  const data = { ...rest, upstreams: jsonUpstreams(upstreams), options: jsonOptions(options ?? {}) }
  return tx.site.create({ data, include: siteInclude })
}

/** Changes a site; what is left out stays. */
export function updateSite(
  tx: Tx,
  id: string,
  change: {
    name?: string
    state?: Site['state']
    content?: SiteContent
    options?: SiteOptionsInput
    activeReleaseId?: string
  },
): Promise<SiteRow> {
  const { content, options, ...rest } = change
  const contentColumns = content === undefined ? {} : { ...content, upstreams: jsonUpstreams(content.upstreams) }
  const optionColumns = options === undefined ? {} : { options: jsonOptions(options) }
  const data = { ...rest, ...contentColumns, ...optionColumns }
  return tx.site.update({ where: { id }, data, include: siteInclude })
}

/** What points at a site. */
export async function countSiteUses(tx: Tx, id: string): Promise<{ hostnames: number; addresses: number }> {
  const hostnames = await tx.hostname.count({ where: { siteId: id } })
  const addresses = await tx.address.count({ where: { siteId: id } })
  return { hostnames, addresses }
}

/** Removes a site and its releases. Foreign-key violation: something points at it. */
export async function deleteSite(tx: Tx, id: string): Promise<void> {
  await tx.site.delete({ where: { id } })
}

/** The panel's own site, or null. */
export function findPanelSite(tx: Tx): Promise<SiteRow | null> {
  return tx.site.findFirst({ where: { isPanel: true }, include: siteInclude })
}

/** A release of this very site, or null. */
export function findRelease(db: Db | Tx, siteId: string, id: string): Promise<ReleaseRow | null> {
  return db.release.findUnique({ where: { id, siteId } })
}

/** A page of a site's releases, newest first. */
export function listReleases(db: Db, siteId: string, page: Page): Promise<ReleaseRow[]> {
  return db.release.findMany({ where: { siteId }, ...pageArguments(page), orderBy: { id: 'desc' } })
}

/** A new release with the next number. The caller holds `lockSite`. */
export async function insertRelease(
  tx: Tx,
  release: { siteId: string; manifestDigest: string; files: number; bytes: number; createdById: string | null },
): Promise<ReleaseRow> {
  const newest = await tx.release.aggregate({ where: { siteId: release.siteId }, _max: { number: true } })
  return tx.release.create({ data: { ...release, number: (newest._max.number ?? 0) + 1 } })
}

/** Removes a release. Foreign-key violation: it is active. */
export async function deleteRelease(tx: Tx, id: string): Promise<void> {
  await tx.release.delete({ where: { id } })
}

/** Digests of all manifests after `cursor` (a release's id), at most `limit`, in the order of ids. */
export function listManifests(
  db: Db,
  cursor: string,
  limit: number,
): Promise<{ id: string; manifestDigest: string }[]> {
  return db.release.findMany({
    where: { id: { gt: cursor } },
    orderBy: { id: 'asc' },
    take: limit,
    select: { id: true, manifestDigest: true },
  })
}

function jsonOptions(options: SiteOptionsInput): Prisma.InputJsonObject {
  return options as Prisma.InputJsonObject
}

function jsonUpstreams(upstreams: readonly Upstream[] | null): Prisma.InputJsonArray | typeof Prisma.DbNull {
  return upstreams === null ? Prisma.DbNull : upstreams.map(({ url, weight }) => ({ url, weight }))
}

/** Advisory lock that each backup holds, shared: no blob is deleted meanwhile. */
export const BACKUP_LOCK = 7_283_004

/** Whether a backup runs now. */
export async function isBackupRunning(db: Db): Promise<boolean> {
  const rows = await db.$queryRaw<{ free: boolean }[]>`select pg_try_advisory_xact_lock(${BACKUP_LOCK}) as free`
  return rows[0]?.free !== true
}
