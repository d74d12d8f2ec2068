import { type Static, Type } from 'typebox'
import { Id, ListOf, ListQuery, Nullable, Time } from '../schema.ts'
import { SiteOptionsBody, SiteOptionsView } from './option-schema.ts'

/** What sites and releases look like in the API. */

const SiteName = Type.String({ minLength: 1, maxLength: 100, description: 'Unique among the sites of a tenant.' })

const SiteKind = Type.Union([Type.Literal('static'), Type.Literal('proxy'), Type.Literal('redirect')], {
  description: 'Files, another web server, or a redirect.',
})

const RedirectStatus = Type.Union(
  [Type.Literal(301), Type.Literal(302), Type.Literal(303), Type.Literal(307), Type.Literal(308)],
  { description: '301 when left out.' },
)

const UpstreamUrl = Type.String({
  minLength: 1,
  maxLength: 500,
  description: '`http://` or `https://`, host and port; no path, query, user or password.',
})

const NewUpstreams = Type.Array(
  Type.Object(
    {
      url: UpstreamUrl,
      weight: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 1 })),
    },
    { additionalProperties: false },
  ),
  { minItems: 1, maxItems: 16 },
)

const RedirectTo = Type.String({
  minLength: 1,
  maxLength: 2000,
  description: 'An absolute URL; when it ends in `/`, path and query of the request are appended.',
})

/** Body of `POST /sites`. `upstreams` belongs to a proxy, `redirectTo` and `redirectStatus` to a redirect. */
export const NewSite = Type.Object(
  {
    name: SiteName,
    tenantId: Type.Optional(Id),
    kind: SiteKind,
    upstreams: Type.Optional(NewUpstreams),
    redirectTo: Type.Optional(RedirectTo),
    redirectStatus: Type.Optional(RedirectStatus),
    options: Type.Optional(SiteOptionsBody),
  },
  { additionalProperties: false },
)

/** Body of `PATCH /sites/{id}`. The kind never changes; `state` is for platform admins. */
export const SiteChange = Type.Object(
  {
    name: Type.Optional(SiteName),
    state: Type.Optional(Type.Union([Type.Literal('active'), Type.Literal('suspended')])),
    upstreams: Type.Optional(NewUpstreams),
    redirectTo: Type.Optional(RedirectTo),
    redirectStatus: Type.Optional(RedirectStatus),
    options: Type.Optional(SiteOptionsBody),
  },
  { additionalProperties: false, minProperties: 1 },
)

const ActiveRelease = Type.Object({
  id: Id,
  number: Type.Integer(),
  createdAt: Time,
  files: Type.Integer(),
  bytes: Type.Integer(),
})

/** A site as lists show it: without its options, of which error pages alone may be large. */
export const SiteSummary = Type.Object({
  id: Id,
  tenantId: Id,
  name: Type.String(),
  kind: SiteKind,
  state: Type.Union([Type.Literal('active'), Type.Literal('suspended')]),
  upstreams: Nullable(Type.Array(Type.Object({ url: Type.String(), weight: Type.Integer() }))),
  redirectTo: Nullable(Type.String()),
  redirectStatus: Nullable(Type.Integer()),
  activeRelease: Nullable(ActiveRelease),
  createdAt: Time,
})

/** A site as the API shows it. */
export const SiteView = Type.Object({ ...SiteSummary.properties, options: SiteOptionsView })

/** Query of `GET /sites`. */
export const SiteListQuery = Type.Object({
  ...ListQuery.properties,
  tenantId: Type.Optional(Id),
  kind: Type.Optional(SiteKind),
  q: Type.Optional(Type.String({ maxLength: 100, description: 'Part of the name.' })),
})

/** A page of sites. */
export const SiteList = ListOf(SiteSummary)

/** One version of a static site's content. */
export const ReleaseView = Type.Object({
  id: Id,
  siteId: Id,
  number: Type.Integer({ description: 'Counts up from 1 within the site.' }),
  files: Type.Integer(),
  bytes: Type.Integer({ description: 'Of all files, unpacked.' }),
  isActive: Type.Boolean(),
  createdAt: Time,
})

/** A page of releases, newest first. */
export const ReleaseList = ListOf(ReleaseView)

/** Path parameters of one release. */
export const ReleaseParams = Type.Object({ id: Id, releaseId: Id })

/** Query of `POST /sites/{id}/releases`. */
export const UploadQuery = Type.Object({
  activate: Type.Optional(Type.Boolean({ default: true, description: 'Serve it at once.' })),
})

/** See `NewSite`. */
export type NewSiteInput = Static<typeof NewSite>
/** See `SiteChange`. */
export type SiteChangeInput = Static<typeof SiteChange>
/** See `SiteView`. */
export type Site = Static<typeof SiteView>
/** See `SiteSummary`. */
export type ListedSite = Static<typeof SiteSummary>
/** See `SiteListQuery`. */
export type SiteListFilter = Static<typeof SiteListQuery>
/** See `ReleaseView`. */
export type Release = Static<typeof ReleaseView>
