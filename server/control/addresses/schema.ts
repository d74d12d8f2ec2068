import { type Static, Type } from 'typebox'
import { Id, ListOf, ListQuery, Nullable, Time } from '../schema.ts'

/** What addresses look like in the API. */

const AddressText = Type.String({ minLength: 2, maxLength: 45, description: 'IPv4 or IPv6, in any usual spelling.' })

const Use = Type.Union([Type.Literal('shared'), Type.Literal('dedicated')], {
  description:
    'shared: visitors must say a server name. dedicated: visitors that say none get the site it is allocated to.',
})

const LegacyTls = Type.Union([Type.Literal('none'), Type.Literal('tls1.0'), Type.Literal('tls1.0-3des')])

const State = Type.Union([
  Type.Literal('free'),
  Type.Literal('reserved'),
  Type.Literal('allocated'),
  Type.Literal('draining'),
  Type.Literal('quarantined'),
])

const Pool = Type.String({ minLength: 1, maxLength: 100, description: 'A word to group addresses by.' })
const Note = Type.String({ maxLength: 1000 })

/** Body of `POST /addresses`: exactly one of `address`, `cidr` and `range`. */
export const NewAddress = Type.Object(
  {
    address: Type.Optional(AddressText),
    cidr: Type.Optional(
      Type.String({
        maxLength: 49,
        description: 'e.g. `203.0.113.0/28`: its host addresses (not network and broadcast), at most 1,024.',
      }),
    ),
    range: Type.Optional(
      Type.String({
        maxLength: 100,
        description: 'First and last, e.g. `203.0.113.4-203.0.113.9`: at most 1,024.',
      }),
    ),
    use: Use,
    pool: Type.Optional(Pool),
    note: Type.Optional(Note),
    publicAddress: Type.Optional(
      Type.String({ maxLength: 45, description: 'What the world sees, where this one is behind a translation.' }),
    ),
    edgeId: Type.Optional(Id),
  },
  { additionalProperties: false },
)

/** Body of `PATCH /addresses/{id}`; null clears. */
export const AddressChange = Type.Object(
  {
    use: Type.Optional(Use),
    state: Type.Optional(
      Type.Union([Type.Literal('free'), Type.Literal('reserved')], {
        description: 'reserved: nobody gets it until it is free again.',
      }),
    ),
    pool: Type.Optional(Nullable(Pool)),
    note: Type.Optional(Nullable(Note)),
    publicAddress: Type.Optional(Nullable(AddressText)),
    edgeId: Type.Optional(Nullable(Id)),
    force: Type.Optional(
      Type.Boolean({ description: 'Change `use` of a shared address although sites are served on it.' }),
    ),
  },
  { additionalProperties: false, minProperties: 1 },
)

/** Body of `POST /addresses/{id}/allocate`. */
export const Allocation = Type.Object(
  { siteId: Id, legacyTls: Type.Optional(LegacyTls) },
  { additionalProperties: false },
)

/** An address as the API shows it. `pool`, `note` and `edgeId` are null to tenants. */
export const AddressView = Type.Object({
  id: Id,
  address: Type.String({ description: 'Canonical text (RFC 5952).' }),
  use: Use,
  state: State,
  siteId: Nullable(Id),
  legacyTls: LegacyTls,
  scope: Type.Union([Type.Literal('loopback'), Type.Literal('private'), Type.Literal('public')]),
  isLocal: Nullable(
    Type.Boolean({ description: 'Whether this machine has the address; null when it is for another edge.' }),
  ),
  hint: Nullable(Type.String({ description: 'What to do so that the address works.' })),
  pool: Nullable(Type.String()),
  note: Nullable(Type.String()),
  publicAddress: Nullable(Type.String()),
  edgeId: Nullable(Id),
  createdAt: Time,
})

/** A page of addresses. */
export const AddressList = ListOf(AddressView)

/** Answer of `POST /addresses`: one address, or `items` for `cidr` and `range`. */
export const NewAddressAnswer = Type.Union([AddressView, Type.Object({ items: Type.Array(AddressView) })])

/** Query of `GET /addresses`. */
export const AddressListQuery = Type.Object({
  ...ListQuery.properties,
  use: Type.Optional(Use),
  state: Type.Optional(State),
  siteId: Type.Optional(Id),
  pool: Type.Optional(Type.String({ maxLength: 100 })),
})

/** See `NewAddress`. */
export type NewAddressInput = Static<typeof NewAddress>
/** See `AddressChange`. */
export type AddressChangeInput = Static<typeof AddressChange>
/** See `Allocation`. */
export type AllocationInput = Static<typeof Allocation>
/** See `AddressView`. */
export type Address = Static<typeof AddressView>
/** See `AddressListQuery`. */
export type AddressListFilter = Static<typeof AddressListQuery>
