import { type Static, Type } from 'typebox'
import { Email } from '../auth/schema.ts'
import { Nullable } from '../schema.ts'

/** The mail server that sends for this installation, as it is kept: without its password. */
export const MailSettings = Type.Object(
  {
    host: Type.String({ minLength: 1, maxLength: 253, pattern: '^[A-Za-z0-9.:-]+$', description: 'Name or address.' }),
    port: Type.Integer({ minimum: 1, maximum: 65_535 }),
    security: Type.Union([Type.Literal('tls'), Type.Literal('starttls'), Type.Literal('none')], {
      description: 'TLS from the first byte (usually port 465), STARTTLS (587), or none: for a relay on this machine.',
    }),
    user: Nullable(Type.String({ minLength: 1, maxLength: 254 })),
    from: Email,
    replyTo: Nullable(Email),
    trustRootPem: Type.Optional(
      Nullable(
        Type.String({
          maxLength: 100_000,
          description: 'PEM roots that are trusted for this server alone; without them those of the system.',
        }),
      ),
    ),
  },
  { additionalProperties: false },
)

/** The mail server, without its password. */
export type MailSettings = Static<typeof MailSettings>

/** The mail server as it is set: with the password, which no answer has. */
export const MailChange = Type.Object(
  {
    ...MailSettings.properties,
    password: Type.Optional(
      Nullable(
        Type.String({
          minLength: 1,
          maxLength: 1_000,
          description: 'Sealed, and never returned. Left out: the present one stays. Null: it is forgotten.',
        }),
      ),
    ),
  },
  { additionalProperties: false },
)

/** The mail server as it is set. */
export type MailChange = Static<typeof MailChange>

/** The mail server as the API shows it. */
export const MailView = Type.Object({
  ...MailSettings.properties,
  hasPassword: Type.Boolean({ description: 'Whether a password is kept.' }),
})

/** The mail server as the API shows it. */
export type MailView = Static<typeof MailView>

/** Body of `POST /settings/mail/test`. */
export const MailTest = Type.Object({ to: Email }, { additionalProperties: false })

/** Body of `POST /settings/mail/test`. */
export type MailTest = Static<typeof MailTest>

/** Answer of `POST /settings/mail/test`: the mail server has taken the mail. */
export const MailTestResult = Type.Object({
  messageId: Type.String(),
  response: Type.String({ description: 'What the mail server answered.' }),
})

/** Answer of `POST /settings/mail/test`. */
export type MailTestResult = Static<typeof MailTestResult>
