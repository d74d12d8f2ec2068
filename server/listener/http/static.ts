import type { SiteRecord } from '../../contract/records.ts'
import type { SiteOptions } from '../../contract/site-options.ts'
import { preconditionStatus, rangeApplies } from './conditional.ts'
import type { Content } from './content.ts'
import { sendEmptySite, sendErrorPage, sendSitePage } from './error-pages.ts'
import type { Exchange } from './exchange.ts'
import type { ManifestCache, ReleaseFiles } from './manifest-cache.ts'
import { type ByteRange, parseRanges } from './range.ts'
import { sendRedirect } from './redirect.ts'
import { type Representation, representationOf } from './representation.ts'
import { sendPart, sendParts, sendWhole } from './send-blob.ts'
import { optionsOf } from './site-rules.ts'
import { planStatic } from './static-plan.ts'
import type { Target } from './target.ts'

/** What static sites are served from. */
export type StaticStore = { readonly content: Content; readonly manifests: ManifestCache }

/** One request for a static site: what is asked for, and what it is asked of. */
type Visit = {
  readonly exchange: Exchange
  readonly content: Content
  readonly release: ReleaseFiles
  readonly options: SiteOptions
  readonly path: string
}

/**
 * Answers from a site's release. A path is looked up in the manifest and never reaches the file
 * system. `path` is the decoded path of `target`. Throws `ContentError` when a blob is not there.
 */
export async function serveStatic(
  exchange: Exchange,
  store: StaticStore,
  site: SiteRecord,
  target: Target,
  path: string,
): Promise<void> {
  if (exchange.method !== 'GET' && exchange.method !== 'HEAD')
    return sendErrorPage(exchange, 405, [['allow', 'GET, HEAD']])
  if (site.manifest === null) return sendEmptySite(exchange)
  const options = optionsOf(site)
  const release = await store.manifests.get(site.manifest)
  const visit: Visit = { exchange, content: store.content, release, options, path }
  const plan = planStatic(release, options, path)
  if (plan.kind === 'file') return sendFile(visit, representation(visit, plan.file))
  // The path as sent names a folder of the release here, so it cannot be `//host` and lead elsewhere.
  if (plan.kind === 'add-slash') return sendRedirect(exchange, 301, `${target.path}/${target.query}`)
  if (plan.kind === 'remove-slash') return sendRedirect(exchange, 301, target.path.slice(0, -1) + target.query)
  return sendNotFound(visit)
}

function representation({ exchange, release, options, path }: Visit, file: Parameters<typeof representationOf>[0]) {
  const field = exchange.headers['accept-encoding']
  return representationOf(file, release, options, path, typeof field === 'string' ? field : undefined)
}

async function sendFile({ exchange, content }: Visit, form: Representation): Promise<void> {
  const demanded = preconditionStatus(exchange.headers, form)
  if (demanded === 412) return sendErrorPage(exchange, 412)
  if (demanded === 304) {
    exchange.respond(304, form.fields)
    return exchange.end()
  }
  const ranges = rangesOf(exchange, form)
  if (ranges === 'unsatisfiable') return sendErrorPage(exchange, 416, [['content-range', `bytes */${form.ref.bytes}`]])
  const [first, second] = ranges ?? []
  if (ranges === null || first === undefined) return sendWhole(exchange, content, 200, form)
  return second === undefined ? sendPart(exchange, content, form, first) : sendParts(exchange, content, form, ranges)
}

/** The site's own page: the one of its settings, then `404.html` of the release, then ours. */
async function sendNotFound(visit: Visit): Promise<void> {
  const { exchange, content, release, options } = visit
  const file = options.errorPages[404] === undefined ? release.files.get('404.html') : undefined
  if (file === undefined) return sendSitePage(exchange, 404, options.errorPages)
  return sendWhole(exchange, content, 404, representation(visit, file))
}

function rangesOf(exchange: Exchange, form: Representation): readonly ByteRange[] | 'unsatisfiable' | null {
  if (exchange.method !== 'GET' || !rangeApplies(exchange.headers, form)) return null
  return parseRanges(exchange.headers.range, form.ref.bytes)
}
