import { type Static, Type } from 'typebox'
import { Email, NewPassword, PASSWORD_LENGTH, PlatformRole, Role, UserView } from '../auth/schema.ts'
import { Id, ListOf, ListQuery, Nullable } from '../schema.ts'

/** Body of `POST /users`. Without a password the user cannot sign in until one is set. */
export const NewUser = Type.Object({
  email: Email,
  password: Type.Optional(NewPassword),
  platformRole: Type.Optional(Nullable(PlatformRole)),
  memberships: Type.Optional(Type.Array(Type.Object({ tenantId: Id, role: Role }), { maxItems: 100 })),
})

/** Body of `POST /users`. */
export type NewUser = Static<typeof NewUser>

/** Body of `PATCH /users/{id}`. A user may change the own password, with `currentPassword`; the rest is the admin's. */
export const UserChange = Type.Object({
  email: Type.Optional(Email),
  password: Type.Optional(NewPassword),
  currentPassword: Type.Optional(Type.String({ minLength: 1, maxLength: PASSWORD_LENGTH.maxLength })),
  platformRole: Type.Optional(Nullable(PlatformRole)),
  isDisabled: Type.Optional(Type.Boolean()),
})

/** Body of `PATCH /users/{id}`. */
export type UserChange = Static<typeof UserChange>

/** Query of `GET /users`: `q` is a part of the e-mail. */
export const UserQuery = Type.Interface([ListQuery], { q: Type.Optional(Type.String({ maxLength: 254 })) })

/** Query of `GET /users`. */
export type UserQuery = Static<typeof UserQuery>

/** Answer of `GET /users`. */
export const UserList = ListOf(UserView)
