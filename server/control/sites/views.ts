import type { Upstream } from '../../contract/records.ts'
import type { SiteOptionsInput } from '../../contract/site-options.ts'
import { shownOptions } from './options.ts'
import type { ListedSite, Release, Site } from './schema.ts'
import type { SiteContent } from './site-rules.ts'
import type { ReleaseRow, SiteRow } from './store.ts'

/** A site's row as the API shows it. */
export function siteView(row: SiteRow): Site {
  return { ...listedSite(row), options: shownOptions(optionsOf(row)) }
}

/** A site's row as lists show it. */
export function listedSite(row: SiteRow): ListedSite {
  const { activeRelease } = row
  return {
    id: row.id,
    tenantId: row.tenantId,
    name: row.name,
    kind: row.kind,
    state: row.state,
    ...contentOf(row),
    activeRelease:
      activeRelease === null
        ? null
        : {
            id: activeRelease.id,
            number: activeRelease.number,
            createdAt: activeRelease.createdAt.toISOString(),
            files: activeRelease.files,
            bytes: Number(activeRelease.bytes),
          },
    createdAt: row.createdAt.toISOString(),
  }
}

/** What a site's row serves. */
export function contentOf(row: SiteRow): SiteContent {
  return {
    upstreams: row.upstreams as Upstream[] | null,
    redirectTo: row.redirectTo,
    redirectStatus: row.redirectStatus,
  }
}

/** What a site's row sets beyond that. */
export function optionsOf(row: SiteRow): SiteOptionsInput {
  return row.options as SiteOptionsInput
}

/** A release's row as the API shows it. */
export function releaseView(row: ReleaseRow, activeReleaseId: string | null): Release {
  return {
    id: row.id,
    siteId: row.siteId,
    number: row.number,
    files: row.files,
    bytes: Number(row.bytes),
    isActive: row.id === activeReleaseId,
    createdAt: row.createdAt.toISOString(),
  }
}
