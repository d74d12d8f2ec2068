import type { ManifestFile } from '../../contract/manifest.ts'
import type { SiteOptions } from '../../contract/site-options.ts'
import type { ReleaseFiles } from './manifest-cache.ts'

/** What a static site answers to a path: a file, the same path with or without its slash, or nothing. */
export type StaticPlan =
  | { readonly kind: 'file'; readonly file: ManifestFile }
  | { readonly kind: 'add-slash' | 'remove-slash' | 'missing' }

const MISSING: StaticPlan = { kind: 'missing' }

/**
 * Plans the answer to a decoded path. It is looked up in the release as it is: `..` and empty segments are names
 * that no release holds, so none leads out of it or to another host.
 */
export function planStatic(release: ReleaseFiles, options: SiteOptions, path: string): StaticPlan {
  const name = path.slice(1)
  if (!options.dotFiles && isHidden(name)) return MISSING
  return planOf(release, options.trailingSlash, name) ?? fallback(release, options.singlePage)
}

function planOf(release: ReleaseFiles, policy: SiteOptions['trailingSlash'], name: string): StaticPlan | null {
  const { files } = release
  if (name === '' || name.endsWith('/')) {
    const index = files.get(`${name}index.html`)
    if (index === undefined) return null
    return policy === 'remove' && name !== '' ? { kind: 'remove-slash' } : { kind: 'file', file: index }
  }
  const file = files.get(name)
  if (file !== undefined) return { kind: 'file', file }
  const index = files.get(`${name}/index.html`)
  if (index === undefined) return null
  return policy === 'add' ? { kind: 'add-slash' } : { kind: 'file', file: index }
}

function fallback(release: ReleaseFiles, singlePage: string | null): StaticPlan {
  const file = singlePage === null ? undefined : release.files.get(singlePage)
  return file === undefined ? MISSING : { kind: 'file', file }
}

/** A segment that begins with a dot, but for the folder of well-known addresses (RFC 8615) at the root. */
function isHidden(name: string): boolean {
  const rest = name.startsWith('.well-known/') ? name.slice('.well-known/'.length) : name
  return rest.startsWith('.') || rest.includes('/.')
}
