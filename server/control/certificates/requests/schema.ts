import { type Static, Type } from 'typebox'
import { Id, ListOf, ListQuery, Nullable, Time } from '../../schema.ts'

/** Keys that a request may have: what public CAs accept (CA/Browser Forum Baseline Requirements section 6.1.5). */
export const requestKeyTypes = ['ec-p256', 'ec-p384', 'rsa-2048', 'rsa-4096'] as const

/** One of `requestKeyTypes`. */
export type RequestKeyType = (typeof requestKeyTypes)[number]

/** Upper bounds of RFC 5280 appendix A.1. */
const Attribute = (maxLength: number) =>
  Type.Optional(Type.String({ minLength: 1, maxLength, pattern: '^[^\\u0000-\\u001f\\u007f]+$' }))

const Subject = Type.Object(
  {
    organization: Attribute(64),
    organizationalUnit: Attribute(64),
    locality: Attribute(128),
    state: Attribute(128),
    country: Type.Optional(Type.String({ pattern: '^[A-Z]{2}$', description: 'ISO 3166-1 alpha-2.' })),
  },
  { additionalProperties: false },
)

/** A request for a certificate; never with its key. */
export const CertificateRequest = Type.Object({
  id: Id,
  tenantId: Id,
  names: Type.Array(Type.String()),
  keyType: Type.Enum([...requestKeyTypes]),
  subject: Subject,
  csrPem: Type.String({ description: 'PKCS#10, PEM: what the CA asks for.' }),
  certificateId: Nullable(Id),
  createdAt: Time,
  updatedAt: Time,
})

/** A page of requests. */
export const CertificateRequestList = ListOf(CertificateRequest)

/** Query of the list of requests. */
export const CertificateRequestQuery = Type.Object({ ...ListQuery.properties, tenantId: Type.Optional(Id) })

/** Body of `POST /certificate-requests`. */
export const CertificateRequestCreate = Type.Object(
  {
    tenantId: Type.Optional(Id),
    names: Type.Array(Type.String({ minLength: 1, maxLength: 300 }), { minItems: 1, maxItems: 100 }),
    keyType: Type.Enum([...requestKeyTypes]),
    subject: Type.Optional(Subject),
  },
  { additionalProperties: false },
)

/** Body of `POST /certificate-requests/{id}/certificate`. */
export const RequestedCertificate = Type.Object(
  {
    certificatePem: Type.String({
      maxLength: 200_000,
      description: 'What the CA gave: leaf and intermediates, any order.',
    }),
    hostnameIds: Type.Optional(Type.Array(Id, { minItems: 1, maxItems: 500 })),
    fallbackToAcme: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
)

/** The shapes above as types. */
export type CertificateRequestView = Static<typeof CertificateRequest>
export type CertificateRequestQueryInput = Static<typeof CertificateRequestQuery>
export type CertificateRequestCreateInput = Static<typeof CertificateRequestCreate>
export type RequestedCertificateInput = Static<typeof RequestedCertificate>
export type RequestSubject = Static<typeof Subject>
