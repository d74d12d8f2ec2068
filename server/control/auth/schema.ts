import { type Static, Type } from 'typebox'
import { Id, Nullable, Time } from '../schema.ts'

/** Fewest and most characters of a password; the upper bound keeps hashing cheap (OWASP, NIST SP 800-63B 3.1.1.2). */
export const PASSWORD_LENGTH = { minLength: 10, maxLength: 200 } as const

/** A new password: any characters, no rules of composition. */
export const NewPassword = Type.String({ ...PASSWORD_LENGTH, description: 'At least 10 characters, any.' })

/** An e-mail address as people type it; stored in lower case. At most 254 octets (RFC 5321 section 4.5.3.1.3). */
export const Email = Type.String({ format: 'email', minLength: 3, maxLength: 254 })

/** A role of the platform's own people, or null for tenants. */
export const PlatformRole = Type.Union([Type.Literal('admin'), Type.Literal('support')])

/** A role within one tenant. */
export const Role = Type.Union([Type.Literal('owner'), Type.Literal('member'), Type.Literal('viewer')])

/** A tenant that a user acts for. */
export const UserMembership = Type.Object({ tenantId: Id, tenantName: Type.String(), role: Role })

/** A user as the API shows it; never anything of the password. */
export const UserView = Type.Object({
  id: Id,
  email: Type.String(),
  platformRole: Nullable(PlatformRole),
  memberships: Type.Array(UserMembership),
  isDisabled: Type.Boolean(),
  hasPassword: Type.Boolean(),
  createdAt: Time,
})

/** A user as the API shows it. */
export type UserView = Static<typeof UserView>

/** Body of `POST /auth/login`. `totp` is accepted and not looked at until second factors exist. */
export const LoginBody = Type.Object({
  email: Type.String({ minLength: 1, maxLength: 254 }),
  password: Type.String({ minLength: 1, maxLength: PASSWORD_LENGTH.maxLength }),
  totp: Type.Optional(Type.String({ maxLength: 20 })),
})

/** Answer of log-in, refresh and set-up; the refresh cookie comes with it. */
export const SignedIn = Type.Object({
  accessToken: Type.String(),
  expiresInSeconds: Type.Integer(),
  user: UserView,
})

/** Answer of `GET /auth/me`: who calls, and with which API token if it is one. */
export const Me = Type.Object({
  user: UserView,
  token: Nullable(Type.Object({ id: Id, tenantId: Nullable(Id), scopes: Type.Array(Type.String()) })),
})
