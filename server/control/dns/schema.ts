import { type Static, Type } from 'typebox'
import { Id, ListOf, ListQuery, Nullable, Time, WriteQuery } from '../schema.ts'

/** What DNS providers look like in the API. */

const Kind = Type.Union(
  [
    Type.Literal('rfc2136'),
    Type.Literal('powerdns'),
    Type.Literal('cloudflare'),
    Type.Literal('hook'),
    Type.Literal('webhook'),
  ],
  {
    description: 'rfc2136: a name server that takes updates signed with TSIG. hook: a program on this machine (admin).',
  },
)

const Name = Type.String({ minLength: 1, maxLength: 100 })

const Zones = Type.Array(Type.String({ minLength: 1, maxLength: 300 }), {
  minItems: 1,
  maxItems: 50,
  description: 'Zones that it controls, e.g. `example.com`.',
})

/** What is no secret. Which fields there are depends on the kind. */
const Config = Type.Object(
  {
    server: Type.Optional(
      Type.String({ maxLength: 300, description: 'rfc2136: the primary server, `name` or `name:port`.' }),
    ),
    keyName: Type.Optional(Type.String({ maxLength: 255, description: 'rfc2136: name of the TSIG key.' })),
    algorithm: Type.Optional(Type.Union([Type.Literal('hmac-sha256'), Type.Literal('hmac-sha512')])),
    url: Type.Optional(
      Type.String({ maxLength: 2000, description: 'powerdns: root of its web server. webhook: called.' }),
    ),
    serverId: Type.Optional(
      Type.String({ maxLength: 100, description: 'powerdns: `localhost` unless said otherwise.' }),
    ),
    caPem: Type.Optional(
      Type.String({ maxLength: 20_000, description: 'powerdns, webhook: roots to trust in place of the public ones.' }),
    ),
    command: Type.Optional(Type.String({ maxLength: 1000, description: 'hook: absolute path of the program.' })),
  },
  { additionalProperties: false },
)

const Secret = Type.String({
  minLength: 1,
  maxLength: 4096,
  description:
    'Never shown again. rfc2136: the TSIG key, base64. powerdns: API key. cloudflare: API token. webhook: signing key.',
})

/** Body of `POST /dns-providers`. */
export const NewDnsProvider = Type.Object(
  {
    name: Name,
    tenantId: Type.Optional(Nullable(Id)),
    kind: Kind,
    config: Type.Optional(Config),
    secret: Type.Optional(Secret),
    zones: Zones,
  },
  { additionalProperties: false, description: '`tenantId` null: the platform’s own (admin).' },
)

/** Body of `PATCH /dns-providers/{id}`. `config` replaces all of it. */
export const DnsProviderChange = Type.Object(
  {
    name: Type.Optional(Name),
    config: Type.Optional(Config),
    secret: Type.Optional(Secret),
    zones: Type.Optional(Zones),
  },
  { additionalProperties: false, minProperties: 1 },
)

/** A provider as the API shows it: without its secret. */
export const DnsProviderView = Type.Object({
  id: Id,
  tenantId: Nullable(Id),
  name: Type.String(),
  kind: Kind,
  config: Config,
  hasSecret: Type.Boolean(),
  zones: Type.Array(Type.String()),
  createdAt: Time,
  updatedAt: Time,
})

/** A page of providers. */
export const DnsProviderList = ListOf(DnsProviderView)

/** Query of `GET /dns-providers`. */
export const DnsProviderListQuery = Type.Object({ ...ListQuery.properties, tenantId: Type.Optional(Id) })

/** Query of `DELETE /dns-providers/{id}`. */
export const DnsProviderRemoveQuery = Type.Object({
  ...WriteQuery.properties,
  force: Type.Optional(
    Type.Boolean({
      default: false,
      description: 'Although records that it made could not be removed: they stay in the DNS.',
    }),
  ),
})

/** Body of `POST /dns-providers/{id}/test`. */
export const DnsProviderTest = Type.Object(
  { zone: Type.Optional(Type.String({ maxLength: 300, description: 'One of its zones; the first unless said.' })) },
  { additionalProperties: false },
)

/** What happened in a test: what was done and whether it worked, in order. */
export const DnsProviderTestAnswer = Type.Object({
  ok: Type.Boolean({ description: 'The record was written and removed.' }),
  zone: Type.String(),
  fqdn: Type.String(),
  steps: Type.Array(
    Type.Object({
      step: Type.Union([Type.Literal('write'), Type.Literal('look'), Type.Literal('remove')]),
      ok: Type.Boolean(),
      code: Nullable(Type.String()),
      detail: Type.String(),
    }),
  ),
})

/** See `NewDnsProvider`. */
export type NewDnsProviderInput = Static<typeof NewDnsProvider>
/** See `DnsProviderChange`. */
export type DnsProviderChangeInput = Static<typeof DnsProviderChange>
/** See `DnsProviderView`. */
export type DnsProviderView = Static<typeof DnsProviderView>
/** See `DnsProviderListQuery`. */
export type DnsProviderListFilter = Static<typeof DnsProviderListQuery>
/** See `DnsProviderRemoveQuery`. */
export type DnsProviderRemoveOptions = Static<typeof DnsProviderRemoveQuery>
/** See `DnsProviderTestAnswer`. */
export type DnsProviderTestResult = Static<typeof DnsProviderTestAnswer>
/** What is no secret, of any kind. */
export type ProviderConfig = Static<typeof Config>
/** A kind of provider. */
export type ProviderKind = Static<typeof Kind>
