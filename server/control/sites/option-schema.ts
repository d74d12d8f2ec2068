import { type Static, type TSchema, Type } from 'typebox'
import { errorPageStatuses } from '../../contract/site-options.ts'
import { Nullable } from '../schema.ts'

/** What a site's options look like in the API: shapes and sizes. What they may say is in `option-rules.ts`. */

const PathPattern = Type.String({
  minLength: 1,
  maxLength: 500,
  description: 'A path that begins with `/`; with `*` as its last character, every path that begins so.',
})

const closed = { additionalProperties: false } as const

const HeaderRules = Type.Array(
  Type.Object(
    {
      path: PathPattern,
      set: Type.Record(Type.String(), Nullable(Type.String({ maxLength: 4096 })), {
        description: 'Fields by name; null takes a field of ours or of the upstream away.',
      }),
    },
    closed,
  ),
  { maxItems: 50, description: 'Fields that are set on every answer whose path matches.' },
)

const RedirectRules = Type.Array(
  Type.Object(
    {
      path: PathPattern,
      to: Type.String({ minLength: 1, maxLength: 2000, description: 'An absolute URL, or a path.' }),
      status: Type.Optional(
        Type.Union([Type.Literal(301), Type.Literal(302), Type.Literal(303), Type.Literal(307), Type.Literal(308)], {
          description: '301 when left out.',
        }),
      ),
    },
    closed,
  ),
  { maxItems: 500, description: 'The first rule that matches answers. The query is kept.' },
)

const CacheRules = Type.Array(
  Type.Object({ path: PathPattern, cacheControl: Type.String({ minLength: 1, maxLength: 200 }) }, closed),
  { maxItems: 100, description: 'Static sites: `Cache-Control` by the first rule that matches.' },
)

const Hsts = Type.Object(
  {
    maxAgeSeconds: Type.Integer({ minimum: 0, maximum: 63_072_000 }),
    includeSubDomains: Type.Optional(Type.Boolean({ default: false })),
    preload: Type.Optional(Type.Boolean({ default: false })),
  },
  closed,
)

const Realm = Type.String({ minLength: 1, maxLength: 100 })
const ProtectedPaths = Type.Array(PathPattern, { minItems: 1, maxItems: 50 })
const UserName = Type.String({ minLength: 1, maxLength: 100 })

const BasicAuthInput = Type.Object(
  {
    realm: Realm,
    paths: ProtectedPaths,
    users: Type.Array(
      Type.Object(
        {
          name: UserName,
          password: Type.Optional(
            Type.String({
              minLength: 8,
              maxLength: 200,
              description: 'Kept only as a hash. Left out: the password that this name has stays.',
            }),
          ),
        },
        closed,
      ),
      { minItems: 1, maxItems: 50 },
    ),
  },
  closed,
)

const BasicAuthView = Type.Object({
  realm: Realm,
  paths: ProtectedPaths,
  users: Type.Array(Type.Object({ name: UserName })),
})

const ErrorPage = Type.String({ minLength: 1, maxLength: 65_536, description: 'HTML, at most 64 KiB.' })

const ErrorPages = Type.Object(
  Object.fromEntries(errorPageStatuses.map((status) => [status, Type.Optional(ErrorPage)])) as {
    [S in (typeof errorPageStatuses)[number]]: ReturnType<typeof Type.Optional<typeof ErrorPage>>
  },
  { ...closed, description: 'Pages by status.' },
)

const TrailingSlash = Type.Union([Type.Literal('add'), Type.Literal('remove'), Type.Literal('keep')])

const HealthCheck = Type.Object(
  {
    path: Type.String({ minLength: 1, maxLength: 500 }),
    intervalSeconds: Type.Integer({ minimum: 2, maximum: 3600 }),
    timeoutSeconds: Type.Integer({ minimum: 1, maximum: 60 }),
  },
  closed,
)

const proxyFields = {
  connectTimeoutMs: Type.Integer({ minimum: 100, maximum: 60_000 }),
  responseTimeoutMs: Type.Integer({ minimum: 1_000, maximum: 600_000 }),
  health: Nullable(HealthCheck),
  verifyTls: Type.Boolean(),
  caPem: Nullable(Type.String({ minLength: 1, maxLength: 65_536 })),
  tlsServerName: Nullable(Type.String({ minLength: 1, maxLength: 253 })),
}

const MaxConnections = Type.Integer({ minimum: 1, maximum: 100_000 })
const MaxBodyBytes = Type.Integer({ minimum: 0, maximum: 4 * 1024 ** 3 })
const SinglePage = Type.String({ minLength: 1, maxLength: 1024 })

const optional = <T extends TSchema>(schema: T) => Type.Optional(Nullable(schema))

/** `options` of a create or a change: a key that is given replaces, null resets, one that is left out stays. */
export const SiteOptionsBody = Type.Object(
  {
    hsts: optional(Hsts),
    headers: optional(HeaderRules),
    redirects: optional(RedirectRules),
    basicAuth: optional(BasicAuthInput),
    errorPages: optional(ErrorPages),
    trailingSlash: optional(TrailingSlash),
    singlePage: optional(SinglePage),
    cache: optional(CacheRules),
    dotFiles: optional(Type.Boolean()),
    proxy: optional(Type.Partial(Type.Object(proxyFields), closed)),
    maxConnections: optional(MaxConnections),
    maxBodyBytes: optional(MaxBodyBytes),
    accessLog: optional(Type.Boolean()),
  },
  { ...closed, description: 'Each is replaced as a whole; null resets it. See docs/sites.md.' },
)

/** All options of a site, with the defaults where it sets nothing. Of users the names alone. */
export const SiteOptionsView = Type.Object({
  hsts: Nullable(Type.Required(Hsts)),
  headers: HeaderRules,
  redirects: RedirectRules,
  basicAuth: Nullable(BasicAuthView),
  errorPages: ErrorPages,
  trailingSlash: TrailingSlash,
  singlePage: Nullable(SinglePage),
  cache: CacheRules,
  dotFiles: Type.Boolean(),
  proxy: Type.Object(proxyFields),
  maxConnections: Nullable(MaxConnections),
  maxBodyBytes: Nullable(MaxBodyBytes),
  accessLog: Type.Boolean(),
})

/** See `SiteOptionsBody`. */
export type SiteOptionsChange = Static<typeof SiteOptionsBody>
/** See `SiteOptionsView`. */
export type ShownSiteOptions = Static<typeof SiteOptionsView>
