/**
 * How a site answers beyond what it serves: its rules, limits and policies, as edges get them in its record.
 * The control plane validates them (`control/sites`); an edge fills what is missing with the defaults here, so
 * that records of an older control plane stay usable.
 *
 * A path pattern is a path that begins with `/`, or one whose last character is `*`: then it matches every path
 * that begins with what stands before. Patterns are compared with the decoded path, without the query.
 */

/** Fields that are set on every answer whose path matches; a null value takes a field of ours or the upstream's away. */
export type HeaderRule = { readonly path: string; readonly set: { readonly [name: string]: string | null } }

/**
 * The first rule that matches answers. `to` is an absolute URL or a path; where `path` ends in `*`, a `*` at the
 * end of `to` stands for what `path`'s stood for. The query is kept.
 */
export type RedirectRule = { readonly path: string; readonly to: string; readonly status: 301 | 302 | 303 | 307 | 308 }

/** The first rule that matches says `Cache-Control` of an answer of a static site. */
export type CacheRule = { readonly path: string; readonly cacheControl: string }

/** Who may see the paths that match, and what is below them: HTTP basic authentication (RFC 7617). `hash` is `scrypt:<N>:<salt base64>:<key base64>`. */
export type BasicAuth = {
  readonly realm: string
  readonly paths: readonly string[]
  readonly users: readonly { readonly name: string; readonly hash: string }[]
}

/** `Strict-Transport-Security` (RFC 6797) of every answer over TLS. */
export type Hsts = { readonly maxAgeSeconds: number; readonly includeSubDomains: boolean; readonly preload: boolean }

/** Asks each upstream by itself whether it is well: `GET path` must be answered with a status below 400. */
export type HealthCheck = { readonly path: string; readonly intervalSeconds: number; readonly timeoutSeconds: number }

/** How a proxy site deals with its upstreams. */
export type ProxyOptions = {
  readonly connectTimeoutMs: number
  /** From the request's end to the head of the answer. */
  readonly responseTimeoutMs: number
  /** Null: only what requests show counts (passive health). */
  readonly health: HealthCheck | null
  /** False: certificates of `https` upstreams are not verified. */
  readonly verifyTls: boolean
  /** PEM of the CA that signs upstreams' certificates; null: the system's. */
  readonly caPem: string | null
  /** The name that is sent and verified in TLS to upstreams; null: the host of the upstream's URL. */
  readonly tlsServerName: string | null
}

/** Statuses for which a site may have a page of its own. */
export const errorPageStatuses = [401, 403, 404, 500, 502, 503, 504] as const

/** One of `errorPageStatuses`. */
export type ErrorPageStatus = (typeof errorPageStatuses)[number]

/** Everything that a site may set. */
export type SiteOptions = {
  readonly hsts: Hsts | null
  readonly headers: readonly HeaderRule[]
  readonly redirects: readonly RedirectRule[]
  readonly basicAuth: BasicAuth | null
  /** HTML by status. A static site's release may also hold `<status>.html`; this goes before it. */
  readonly errorPages: { readonly [S in ErrorPageStatus]?: string }
  /** Static: `add` sends `/docs` to `/docs/` for a folder, `remove` the other way round, `keep` answers both. */
  readonly trailingSlash: 'add' | 'remove' | 'keep'
  /** Static: the file (path without the leading slash) that answers, with 200, what the release does not hold. */
  readonly singlePage: string | null
  readonly cache: readonly CacheRule[]
  /** Static: files and folders whose name begins with a dot are served; `.well-known` always is. */
  readonly dotFiles: boolean
  readonly proxy: ProxyOptions
  /** Open connections of this site in one worker; null: the listener's own limit. */
  readonly maxConnections: number | null
  /** Largest request body; null: the listener's own limit. */
  readonly maxBodyBytes: number | null
  /** Whether requests are written to the site's access log. They are counted in any case. */
  readonly accessLog: boolean
}

/** What holds where a site says nothing. */
export const defaultSiteOptions: SiteOptions = {
  hsts: null,
  headers: [],
  redirects: [],
  basicAuth: null,
  errorPages: {},
  trailingSlash: 'add',
  singlePage: null,
  cache: [],
  dotFiles: false,
  proxy: {
    connectTimeoutMs: 5_000,
    responseTimeoutMs: 60_000,
    health: null,
    verifyTls: true,
    caPem: null,
    tlsServerName: null,
  },
  maxConnections: null,
  maxBodyBytes: null,
  accessLog: true,
}

/** The options as they travel: what equals the default may be left out. */
export type SiteOptionsInput = Partial<Omit<SiteOptions, 'proxy'>> & { readonly proxy?: Partial<ProxyOptions> }

/** Fills what is missing with the defaults. `null` and undefined are "nothing set". */
export function siteOptions(input: SiteOptionsInput | null | undefined): SiteOptions {
  if (input == null) return defaultSiteOptions
  return { ...defaultSiteOptions, ...input, proxy: { ...defaultSiteOptions.proxy, ...input.proxy } }
}

/** Whether a path pattern matches a decoded path. */
export function matchesPath(pattern: string, path: string): boolean {
  return pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : path === pattern
}
