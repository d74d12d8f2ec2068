import { type Static, Type } from 'typebox'
import { Id, ListOf, ListQuery, Nullable, Time } from '../schema.ts'

/** States of a certificate; clients must accept new ones. */
const CertificateState = Type.Enum([
  'wanted',
  'ordering',
  'valid',
  'renewing',
  'failing',
  'paused',
  'expired',
  'revoked',
  'retired',
])

/** Why the last attempt failed. `code` is stable and upper case, `detail` says what to do. */
const CertificateProblem = Type.Object({ code: Type.String(), detail: Type.String(), at: Time })

/** The issuer as a tenant sees it. A local CA is not publicly trusted: browsers warn. */
const IssuerSummary = Type.Object({
  id: Id,
  name: Type.String(),
  kind: Type.Enum(['acme', 'local']),
  isPubliclyTrusted: Type.Boolean({
    description: 'False for the local CA and for a directory with a trust root of its own.',
  }),
})

const certificateFields = {
  id: Id,
  tenantId: Id,
  source: Type.Enum(['issued', 'uploaded']),
  names: Type.Array(Type.String()),
  state: CertificateState,
  issuer: Nullable(IssuerSummary),
  fingerprint: Nullable(Type.String({ description: 'SHA-256 of the leaf, hex, lower case.' })),
  serial: Nullable(Type.String()),
  notBefore: Nullable(Time),
  notAfter: Nullable(Time),
  /** When the certificate manager acts next: renewal, or the next attempt. */
  nextActionAt: Nullable(Time),
  problem: Nullable(CertificateProblem),
  fallbackToAcme: Nullable(
    Type.Boolean({ description: 'Uploaded ones: an ACME certificate takes over before it expires. Else null.' }),
  ),
  leavingAt: Nullable(
    Type.String({ format: 'date-time', description: 'It was deleted, and serves until ACME has taken over.' }),
  ),
  createdAt: Time,
  updatedAt: Time,
}

/** A certificate in a list. */
export const Certificate = Type.Object(certificateFields)

/** One issued version. */
const HistoryVersion = Type.Object({
  type: Type.Literal('version'),
  id: Id,
  at: Time,
  issuerId: Nullable(Id),
  fingerprint: Type.String(),
  serial: Type.String(),
  notBefore: Time,
  notAfter: Time,
  isActive: Type.Boolean(),
  revokedAt: Nullable(Time),
})

/** One attempt at the CA. */
const HistoryOrder = Type.Object({
  type: Type.Literal('order'),
  id: Id,
  at: Time,
  issuerId: Id,
  state: Type.Enum(['created', 'pending', 'ready', 'processing', 'valid', 'invalid', 'abandoned']),
  problem: Nullable(Type.Object({ code: Type.String(), detail: Type.String() })),
})

/** A certificate by itself: with its chain and history (newest first, at most 50 of each kind); never with its key. */
export const CertificateDetail = Type.Object({
  ...certificateFields,
  chainPem: Nullable(Type.String()),
  /** When it is renewed if nothing changes, and why then. */
  renewal: Nullable(
    Type.Object({
      at: Time,
      /** What the CA suggests (RFC 9773). */
      window: Nullable(Type.Object({ start: Time, end: Time, explanationUrl: Nullable(Type.String()) })),
    }),
  ),
  /** While the issuer's limits let no order through: the place in its queue. */
  queue: Nullable(
    Type.Object({
      position: Type.Integer({ description: 'How many orders go first; 10000 means that many or more.' }),
      estimatedAt: Nullable(Time),
    }),
  ),
  hostnames: Type.Array(Type.Object({ id: Id, name: Type.String() }), {
    description: 'Those that use it, at most 50.',
  }),
  history: Type.Array(Type.Union([HistoryVersion, HistoryOrder])),
})

/** Query of the list of certificates. */
export const CertificateQuery = Type.Object({
  ...ListQuery.properties,
  tenantId: Type.Optional(Id),
  state: Type.Optional(CertificateState),
})

/** A page of certificates. */
export const CertificateList = ListOf(Certificate)

/** A slow action: an order, or what else is wanted of a CA. */
export const Operation = Type.Object({
  id: Id,
  state: Type.Enum(['running', 'succeeded', 'failed']),
  problem: Type.Optional(Type.Object({ code: Type.String(), detail: Type.String() })),
  result: Type.Optional(Type.Object({ certificateId: Type.Optional(Id), issuerId: Type.Optional(Id) })),
})

/** So many in a period; what was used comes back evenly over it. */
const Limit = Type.Object(
  {
    capacity: Type.Integer({ minimum: 1, maximum: 10_000_000 }),
    periodSeconds: Type.Integer({ minimum: 1, maximum: 31_536_000 }),
  },
  { additionalProperties: false },
)

/** What differs from the known limits of a CA. */
const LimitChanges = Type.Object(
  {
    newOrders: Type.Optional(Nullable(Limit)),
    certificatesPerDomain: Type.Optional(Nullable(Limit)),
    certificatesPerSet: Type.Optional(Nullable(Limit)),
    failuresPerName: Type.Optional(Nullable(Limit)),
    exemptsReplacements: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
)

const stagingAndChain = {
  stagingUrl: Type.Optional(
    Nullable(
      Type.String({
        format: 'uri',
        pattern: '^https://',
        maxLength: 2_000,
        description: "The CA's staging directory: what production refuses again and again is rehearsed there.",
      }),
    ),
  ),
  preferredChain: Type.Optional(
    Nullable(
      Type.String({
        minLength: 1,
        maxLength: 200,
        description: 'Common name of the root whose chain is served where the CA offers several.',
      }),
    ),
  ),
  limits: Type.Optional(Nullable(LimitChanges)),
}

/** An issuer as administrators see it; never its account or root key. */
export const Issuer = Type.Object({
  id: Id,
  name: Type.String(),
  kind: Type.Enum(['acme', 'local']),
  priority: Type.Integer({ description: 'The enabled issuer with the lowest number is used.' }),
  isEnabled: Type.Boolean(),
  isPubliclyTrusted: Type.Boolean(),
  directoryUrl: Nullable(Type.String()),
  profile: Nullable(Type.String()),
  email: Nullable(Type.String()),
  termsAgreedAt: Nullable(Time),
  eabKid: Nullable(Type.String()),
  hasTrustRoot: Type.Boolean(),
  accountUrl: Nullable(Type.String()),
  stagingUrl: Nullable(Type.String()),
  preferredChain: Nullable(Type.String()),
  limits: Type.Object(
    {
      newOrders: Nullable(Limit),
      certificatesPerDomain: Nullable(Limit),
      certificatesPerSet: Nullable(Limit),
      failuresPerName: Nullable(Limit),
      exemptsReplacements: Type.Boolean(),
    },
    { description: 'What the CA is known to allow, or what was set; null: no limit is known.' },
  ),
  /** How the CA has been failing; null while it works. */
  failing: Nullable(
    Type.Object({ since: Time, pausedUntil: Nullable(Time), code: Type.String(), detail: Type.String() }),
  ),
  createdAt: Time,
  updatedAt: Time,
})

/** A page of issuers. */
export const IssuerList = ListOf(Issuer)

const Name = Type.String({ minLength: 1, maxLength: 100 })
const Email = Type.String({ format: 'email', maxLength: 254 })
const Priority = Type.Integer({ minimum: 0, maximum: 10_000 })

/** Body of `POST /issuers`: an ACME directory. The local CA is built in. */
export const IssuerCreate = Type.Object(
  {
    name: Name,
    directoryUrl: Type.String({ format: 'uri', pattern: '^https://', maxLength: 2_000 }),
    termsAgreed: Type.Optional(Type.Boolean({ description: "You agree to this CA's terms of service." })),
    email: Type.Optional(Email),
    profile: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
    eabKid: Type.Optional(Type.String({ minLength: 1, maxLength: 1_000 })),
    eabHmacKey: Type.Optional(Type.String({ minLength: 1, maxLength: 1_000, pattern: '^[A-Za-z0-9_+/=-]+$' })),
    trustRootPem: Type.Optional(
      Type.String({ maxLength: 100_000, description: 'Roots trusted for this directory alone.' }),
    ),
    priority: Type.Optional(Priority),
    ...stagingAndChain,
  },
  { additionalProperties: false },
)

/** Body of `PATCH /issuers/{id}`. */
export const IssuerPatch = Type.Object(
  {
    name: Type.Optional(Name),
    isEnabled: Type.Optional(Type.Boolean()),
    priority: Type.Optional(Priority),
    email: Type.Optional(Nullable(Email)),
    profile: Type.Optional(Nullable(Type.String({ minLength: 1, maxLength: 100 }))),
    termsAgreed: Type.Optional(Type.Literal(true)),
    ...stagingAndChain,
  },
  { additionalProperties: false },
)

/** The shapes above as types. */
export type CertificateView = Static<typeof Certificate>
export type CertificateDetailView = Static<typeof CertificateDetail>
export type CertificateQueryInput = Static<typeof CertificateQuery>
export type OperationView = Static<typeof Operation>
export type IssuerView = Static<typeof Issuer>
export type IssuerCreateInput = Static<typeof IssuerCreate>
export type IssuerPatchInput = Static<typeof IssuerPatch>
