import { type Static, Type } from 'typebox'
import { Id } from '../../schema.ts'

/** Reasons that a subscriber may give (RFC 5280 section 5.3.1; CA/Browser Forum Baseline Requirements 4.9.1.1), by their codes. */
export const reasonCodes = { unspecified: 0, keyCompromise: 1, superseded: 4, cessationOfOperation: 5 } as const

/** One of the names of `reasonCodes`. */
export type RevocationReason = keyof typeof reasonCodes

/** Body of `POST /certificates/{id}/revoke`. */
export const Revocation = Type.Object(
  {
    reason: Type.Enum(Object.keys(reasonCodes) as RevocationReason[], {
      description: 'keyCompromise bars the key for ever.',
    }),
    versionId: Type.Optional(Id),
  },
  { additionalProperties: false },
)

/** Body of `POST /certificates/{id}/rollback`. */
export const Rollback = Type.Object({ versionId: Type.Optional(Id) }, { additionalProperties: false })

/** The shapes above as types. */
export type RevocationInput = Static<typeof Revocation>
export type RollbackInput = Static<typeof Rollback>
