import { type Static, Type } from 'typebox'
import { Id } from '../../schema.ts'

/** Far more than any chain has; larger bodies are refused before (PAYLOAD_TOO_LARGE). */
const MAX_PEM = 200_000
const MAX_KEY_PEM = 40_000
const MAX_PKCS12_BASE64 = 300_000
const MAX_PASSWORD = 1_000

const Fallback = Type.Boolean({
  description: 'Before it expires, an ACME certificate takes over (default true).',
})

const material = {
  certificatePem: Type.Optional(
    Type.String({ maxLength: MAX_PEM, description: 'Leaf and intermediates in any order; the key may be in it too.' }),
  ),
  privateKeyPem: Type.Optional(Type.String({ maxLength: MAX_KEY_PEM, description: 'PKCS#8, PKCS#1 or SEC 1.' })),
  keyPassphrase: Type.Optional(Type.String({ maxLength: MAX_PASSWORD, description: 'Of a protected key.' })),
  pkcs12Base64: Type.Optional(
    Type.String({ maxLength: MAX_PKCS12_BASE64, description: 'A .p12 or .pfx file, in place of the PEM fields.' }),
  ),
  password: Type.Optional(Type.String({ maxLength: MAX_PASSWORD, description: 'Of the PKCS#12 file.' })),
  hostnameIds: Type.Optional(
    Type.Array(Id, {
      minItems: 1,
      maxItems: 500,
      description: 'Hostnames that use it; default: all proven ones that it covers.',
    }),
  ),
}

/** Body of `POST /certificates`. */
export const CertificateUpload = Type.Object(
  { ...material, tenantId: Type.Optional(Id), fallbackToAcme: Type.Optional(Fallback) },
  { additionalProperties: false },
)

/** Body of `POST /certificates/{id}/versions`. */
export const VersionUpload = Type.Object(material, { additionalProperties: false })

/** Body of `PATCH /certificates/{id}`. */
export const CertificatePatch = Type.Object(
  { fallbackToAcme: Type.Optional(Fallback) },
  { additionalProperties: false },
)

/** The shapes above as types. */
export type CertificateUploadInput = Static<typeof CertificateUpload>
export type VersionUploadInput = Static<typeof VersionUpload>
export type CertificatePatchInput = Static<typeof CertificatePatch>
