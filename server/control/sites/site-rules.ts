import { isIP } from 'node:net'
import type { Reach } from '../../contract/reach.ts'
import type { Upstream } from '../../contract/records.ts'
import { AppError, type FieldProblem } from '../errors.ts'
import type { Site } from './schema.ts'

const DEFAULT_REDIRECT_STATUS = 301

/** What a caller may say about what a site serves. */
export type ContentInput = {
  readonly upstreams?: readonly { readonly url: string; readonly weight?: number }[]
  readonly redirectTo?: string
  readonly redirectStatus?: number
}

/** The same as it is stored: what does not belong to the kind is null. */
export type SiteContent = {
  readonly upstreams: Upstream[] | null
  readonly redirectTo: string | null
  readonly redirectStatus: number | null
}

/**
 * Checks what a site of this kind serves and gives it in the one form that is stored. `current` fills
 * what a change leaves out. Literal addresses are judged by `reach` at once; names when they are
 * dialled. Throws INVALID_INPUT with every problem, by field.
 */
export function siteContent(
  kind: Site['kind'],
  input: ContentInput,
  reach: Reach,
  current: SiteContent | null = null,
): SiteContent {
  const problems = foreignFields(kind, input)
  const content: SiteContent = {
    upstreams: kind === 'proxy' ? upstreamsOf(input, reach, current, problems) : null,
    redirectTo: kind === 'redirect' ? redirectOf(input, current, problems) : null,
    redirectStatus:
      kind === 'redirect' ? (input.redirectStatus ?? current?.redirectStatus ?? DEFAULT_REDIRECT_STATUS) : null,
  }
  const [first] = problems
  if (first === undefined) return content
  throw new AppError('INVALID_INPUT', `${first.field}: ${first.detail}`, { errors: problems })
}

const fieldsOfKind: Record<Site['kind'], readonly (keyof ContentInput)[]> = {
  static: [],
  proxy: ['upstreams'],
  redirect: ['redirectTo', 'redirectStatus'],
}

function foreignFields(kind: Site['kind'], input: ContentInput): FieldProblem[] {
  const own = fieldsOfKind[kind]
  return (['upstreams', 'redirectTo', 'redirectStatus'] as const)
    .filter((field) => input[field] !== undefined && !own.includes(field))
    .map((field) => ({ field, detail: `does not belong to a site of the kind "${kind}"; leave it out` }))
}

function upstreamsOf(
  input: ContentInput,
  reach: Reach,
  current: SiteContent | null,
  problems: FieldProblem[],
): Upstream[] {
  if (input.upstreams === undefined) {
    if (current?.upstreams != null) return current.upstreams
    problems.push({ field: 'upstreams', detail: 'is required for a proxy: at least one {"url": "http://host:port"}' })
    return []
  }
  return input.upstreams.map(({ url, weight }, index) => {
    const origin = upstreamOrigin(url, reach)
    if ('problem' in origin) problems.push({ field: `upstreams.${index}.url`, detail: origin.problem })
    return { url: 'problem' in origin ? url : origin.origin, weight: weight ?? 1 }
  })
}

function upstreamOrigin(text: string, reach: Reach): { origin: string } | { problem: string } {
  const url = httpUrl(text)
  if (url === null) return { problem: 'is not an absolute URL that begins with http:// or https://' }
  if (hasCredentials(url)) return { problem: 'must not hold a user or password' }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    return { problem: 'must end after host and port: the path of each request is passed on as it is' }
  }
  const address = literalAddress(url)
  if (address !== null && !reach(address)) {
    return {
      problem: `${address} is a private, loopback or otherwise special address, which sites may not reach. An administrator can allow it (NAMEPLATE_OUTBOUND_ALLOW)`,
    }
  }
  return { origin: url.origin }
}

function redirectOf(input: ContentInput, current: SiteContent | null, problems: FieldProblem[]): string | null {
  if (input.redirectTo === undefined) {
    if (current?.redirectTo != null) return current.redirectTo
    problems.push({ field: 'redirectTo', detail: 'is required for a redirect' })
    return null
  }
  const url = httpUrl(input.redirectTo)
  if (url !== null && !hasCredentials(url)) return url.href
  const detail =
    url === null ? 'is not an absolute URL that begins with http:// or https://' : 'must not hold a user or password'
  problems.push({ field: 'redirectTo', detail })
  return null
}

function httpUrl(text: string): URL | null {
  const url = /^https?:\/\//i.test(text) ? URL.parse(text) : null
  return url !== null && url.hostname !== '' ? url : null
}

function hasCredentials(url: URL): boolean {
  return url.username !== '' || url.password !== ''
}

/** The WHATWG parser has made `0x7f.1` and the like into dotted form already. */
function literalAddress(url: URL): string | null {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  return isIP(host) === 0 ? null : host
}
