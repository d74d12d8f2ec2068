import { type Static, Type } from 'typebox'
import { Email, Role } from '../auth/schema.ts'
import { Id, ListOf, ListQuery, Nullable, Time } from '../schema.ts'

const Name = Type.String({ minLength: 1, maxLength: 200, pattern: '^\\S(.*\\S)?$', description: 'No space around it.' })
const State = Type.Union([Type.Literal('active'), Type.Literal('suspended')])

/** Body of `POST /tenants`. */
export const NewTenant = Type.Object({ name: Name, planId: Type.Optional(Nullable(Id)) })

/** Body of `POST /tenants`. */
export type NewTenant = Static<typeof NewTenant>

/** Body of `PATCH /tenants/{id}`. A suspended tenant's sites answer 503; its people may look, not change. */
export const TenantChange = Type.Object({
  name: Type.Optional(Name),
  planId: Type.Optional(Nullable(Id)),
  state: Type.Optional(State),
  issuerIds: Type.Optional(
    Type.Array(Id, {
      maxItems: 20,
      uniqueItems: true,
      description: "As the plan's, and before it; empty: the plan's.",
    }),
  ),
})

/** Body of `PATCH /tenants/{id}`. */
export type TenantChange = Static<typeof TenantChange>

/** A tenant. */
export const TenantView = Type.Object({
  id: Id,
  name: Type.String(),
  planId: Nullable(Id),
  planName: Nullable(Type.String()),
  issuerIds: Type.Array(Id),
  state: State,
  isSystem: Type.Boolean({ description: "The platform's own." }),
  createdAt: Time,
  updatedAt: Time,
})

/** A tenant as the API shows it. */
export type TenantView = Static<typeof TenantView>

/** Query of `GET /tenants`: `q` is a part of the name. */
export const TenantQuery = Type.Interface([ListQuery], { q: Type.Optional(Type.String({ maxLength: 200 })) })

/** Query of `GET /tenants`. */
export type TenantQuery = Static<typeof TenantQuery>

/** Answer of `GET /tenants`. */
export const TenantList = ListOf(TenantView)

/** Path of one member. */
export const MemberParams = Type.Object({ id: Id, userId: Id })

/** Body of `POST /tenants/{id}/members`: an existing user, by e-mail. */
export const NewMember = Type.Object({ email: Email, role: Role })

/** Body of `POST /tenants/{id}/members`. */
export type NewMember = Static<typeof NewMember>

/** Body of `PATCH /tenants/{id}/members/{userId}`. */
export const MemberChange = Type.Object({ role: Role })

/** Body of `PATCH /tenants/{id}/members/{userId}`. */
export type MemberChange = Static<typeof MemberChange>

/** A person who acts for a tenant. */
export const MemberView = Type.Object({ userId: Id, email: Type.String(), role: Role, createdAt: Time })

/** A member as the API shows it. */
export type MemberView = Static<typeof MemberView>

/** Answer of `GET /tenants/{id}/members`. */
export const MemberList = ListOf(MemberView)
