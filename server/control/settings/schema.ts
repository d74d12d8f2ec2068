import { type Static, Type } from 'typebox'
import { Nullable } from '../schema.ts'

const Address = Type.Union([Type.String({ format: 'ipv4' }), Type.String({ format: 'ipv6' })])

/** What tenants are told: where to point their names, whom to ask. */
export const PublicSettings = Type.Object({
  publicAddresses: Type.Array(Address, { maxItems: 100, description: 'For A and AAAA records.' }),
  cnameTarget: Nullable(Type.String({ format: 'hostname', maxLength: 253, description: 'For CNAME records.' })),
  supportContact: Nullable(Type.String({ maxLength: 200, description: 'Whom tenants may ask: an address, a link.' })),
})

/** What tenants are told, with what is not set but so. */
export const ToldSettings = Type.Interface([PublicSettings], {
  httpsPort: Type.Integer({
    description: 'Where the edges answer HTTPS: 443, or another where that is not permitted.',
  }),
})

/** What tenants are told, with what is not set but so. */
export type ToldSettings = Static<typeof ToldSettings>

/** What tenants are told. */
export type PublicSettings = Static<typeof PublicSettings>

/** All settings that are kept in the database. */
export const PlatformSettings = Type.Interface([PublicSettings], {})

/** All settings that are kept in the database. */
export type PlatformSettings = Static<typeof PlatformSettings>

/** Body of `PATCH /settings`: what is left out stays. */
export const SettingsChange = Type.Partial(PlatformSettings)

/** Body of `PATCH /settings`. */
export type SettingsChange = Static<typeof SettingsChange>
