import { formatBytes, formatCount } from '#lib/ui/format.ts'
import type { Site } from './api.ts'

/** What a site serves, in one line. */
export function contentOf(site: Site): string {
  if (site.kind === 'redirect') return `Sends visitors to ${site.redirectTo ?? 'nowhere yet'}`
  if (site.kind === 'proxy') return `Passes visitors on to ${(site.upstreams ?? []).map(({ url }) => url).join(', ')}`
  if (site.activeRelease === null) return 'Files, none uploaded yet'
  const { number, files, bytes } = site.activeRelease
  return `Release ${number}: ${formatCount(files, 'file')}, ${formatBytes(bytes)}`
}
