import { type Static, Type } from 'typebox'
import { Id, ListOf, Nullable, Time } from '../../schema.ts'

/** What a token may do: `read`, `write` (and read), `admin` (all that its user may, the platform's settings too). */
const Scope = Type.Union([Type.Literal('read'), Type.Literal('write'), Type.Literal('admin')])

/** Body of `POST /tokens`. With `tenantId` the token sees that tenant alone. */
export const NewToken = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 100 }),
  tenantId: Type.Optional(Id),
  scopes: Type.Array(Scope, { minItems: 1, maxItems: 3, uniqueItems: true }),
  expiresAt: Type.Optional(Nullable(Time)),
  allowedCidrs: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 50 }), {
      maxItems: 50,
      description: 'Addresses or CIDRs that calls may come from; empty: any.',
    }),
  ),
})

/** Body of `POST /tokens`. */
export type NewToken = Static<typeof NewToken>

/** An API token; the token itself is never shown again. */
export const TokenView = Type.Object({
  id: Id,
  name: Type.String(),
  prefix: Type.String({ description: 'The first characters, to tell tokens apart.' }),
  userId: Id,
  tenantId: Nullable(Id),
  scopes: Type.Array(Scope),
  allowedCidrs: Type.Array(Type.String()),
  expiresAt: Nullable(Time),
  lastUsedAt: Nullable(Time),
  revokedAt: Nullable(Time),
  createdAt: Time,
})

/** An API token as the API shows it. */
export type TokenView = Static<typeof TokenView>

/** Answer of `POST /tokens`: the one time that the token is shown. */
export const CreatedToken = Type.Interface([TokenView], { token: Type.String({ description: 'Begins with np_.' }) })

/** Answer of `GET /tokens`. */
export const TokenList = ListOf(TokenView)
