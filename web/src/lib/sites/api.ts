import { call, type Filter } from '#lib/api/client.ts'
import type { ListPage } from '#lib/api/listing.svelte.ts'
import { type Upload, uploadFile } from '#lib/api/upload.ts'
import type {
  NewSiteInput,
  Release,
  ListedSite as Site,
  SiteChangeInput,
  SiteListFilter,
} from '#server/control/sites/schema.ts'

export type { ListedSite as Site, NewSiteInput, Release, SiteChangeInput } from '#server/control/sites/schema.ts'

/** A page of sites. */
export function listSites(query: Filter<SiteListFilter>, signal?: AbortSignal): Promise<ListPage<Site>> {
  return call('GET', '/sites', { query, signal })
}

/** One site. */
export function getSite(id: string, signal?: AbortSignal): Promise<Site> {
  return call('GET', `/sites/${id}`, { signal })
}

/** Makes a site. */
export function createSite(body: NewSiteInput): Promise<Site> {
  return call('POST', '/sites', { body })
}

/** Changes a site. */
export function changeSite(id: string, body: SiteChangeInput): Promise<Site> {
  return call('PATCH', `/sites/${id}`, { body })
}

/** Removes a site that nothing points at. */
export function deleteSite(id: string): Promise<void> {
  return call('DELETE', `/sites/${id}`)
}

/** A page of releases, newest first. */
export function listReleases(siteId: string, cursor?: string, signal?: AbortSignal): Promise<ListPage<Release>> {
  return call('GET', `/sites/${siteId}/releases`, { query: { cursor }, signal })
}

/** Sends an archive; it is served at once. */
export function uploadRelease(siteId: string, file: File, onProgress: (share: number) => void): Upload<Release> {
  return uploadFile(`/sites/${siteId}/releases`, file, onProgress)
}

/** Serves that release: forward or back. */
export function activateRelease(siteId: string, releaseId: string): Promise<unknown> {
  return call('POST', `/sites/${siteId}/releases/${releaseId}/activate`)
}

/** Removes a release that is not served. */
export function deleteRelease(siteId: string, releaseId: string): Promise<void> {
  return call('DELETE', `/sites/${siteId}/releases/${releaseId}`)
}
