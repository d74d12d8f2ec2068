import { type Static, Type } from 'typebox'
import { accessLogBounds } from '../../contract/access-log.ts'
import { MAX_LISTENER_LIMIT } from '../../contract/listener-limits.ts'
import { MailChange, MailSettings, MailView } from '../mail/schema.ts'
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

const Limit = (description: string) => Type.Integer({ minimum: 1, maximum: MAX_LISTENER_LIMIT, description })

/** See `ListenerLimits`. */
const Limits = Type.Object(
  {
    addressConnections: Limit('Open connections of one client address (IPv6: of its /64).'),
    addressHandshakesPerSecond: Limit('New handshakes of one client address a second, in the long run.'),
    addressHandshakesBurst: Limit('New handshakes of one client address at once, after a rest.'),
    siteConnections: Limit('Open connections of one site.'),
    siteHandshakes: Limit('Handshakes of one site that have begun and are not done.'),
    tenantConnections: Limit('Open connections of all sites of a tenant.'),
    tenantHandshakes: Limit('Handshakes of all sites of a tenant that have begun and are not done.'),
    exempt: Type.Array(Type.String({ minLength: 2, maxLength: 49 }), {
      maxItems: 1_000,
      description: 'CIDRs of clients to whom the limits by address do not apply.',
    }),
  },
  { additionalProperties: false, description: 'How many connections each listener worker holds, and for whom.' },
)

const within = ([minimum, maximum]: readonly [number, number], description: string) =>
  Type.Integer({ minimum, maximum, description })

/** See `AccessLogSetting`. */
const AccessLog = Type.Object(
  {
    format: Type.Union([Type.Literal('json'), Type.Literal('combined')]),
    retentionDays: within(accessLogBounds.retentionDays, 'Rotated files are deleted after so many days.'),
    maxBytes: within(accessLogBounds.maxBytes, 'A file is rotated at this size, and every day.'),
    maxSiteBytes: within(
      accessLogBounds.maxSiteBytes,
      'Rotated files of a site together, as they are on disk; the oldest are deleted.',
    ),
  },
  { additionalProperties: false, description: 'How listeners write the access logs of sites.' },
)

/** How names are looked at before a first order, and on demand. */
const DoctorSetting = Type.Object(
  {
    httpProbe: Type.Boolean({
      description:
        'Whether port 80 of a name is asked as a CA would. Switch it off where this machine cannot reach its own public addresses (NAT).',
    }),
  },
  { additionalProperties: false, description: 'How the doctor looks at names.' },
)

/** All settings that are kept in the database. */
export const PlatformSettings = Type.Interface([PublicSettings], {
  expiredCertificate: Type.Union([Type.Literal('serve'), Type.Literal('abort')], {
    description: 'What visitors of a site get that has none but expired certificates: it, or no connection.',
  }),
  listenerLimits: Limits,
  accessLog: AccessLog,
  mail: Nullable(MailSettings),
  probe: Type.Object(
    {
      isEnabled: Type.Boolean({
        description:
          'Whether served names are looked at from outside. Off for machines that cannot reach their own public addresses.',
      }),
    },
    { additionalProperties: false },
  ),
  doctor: DoctorSetting,
})

/** All settings that are kept in the database. */
export type PlatformSettings = Static<typeof PlatformSettings>

/** The settings as the API shows them: no secret is among them. */
export const SettingsView = Type.Interface([PlatformSettings], { mail: Nullable(MailView) })

/** The settings as the API shows them. */
export type SettingsView = Static<typeof SettingsView>

/** Body of `PATCH /settings`: what is left out stays. */
export const SettingsChange = Type.Partial(Type.Interface([PlatformSettings], { mail: Nullable(MailChange) }))

/** Body of `PATCH /settings`. */
export type SettingsChange = Static<typeof SettingsChange>
