import { type KeyObject, randomBytes } from 'node:crypto'
import type { ChallengeType } from './challenge-type.ts'
import type { Identifier } from './identifier.ts'
import type { RequestKey } from './jwk.ts'
import type { AcmeProblem } from './problem.ts'

/** RFC 8555 section 7.1.2. */
export type Account = {
  readonly id: string
  key: RequestKey
  contact: readonly string[]
  status: 'valid' | 'deactivated'
  readonly externalKid: string | null
  readonly orderIds: string[]
}

/** RFC 8555 section 7.1.3. */
export type Order = {
  readonly id: string
  readonly accountId: string
  readonly identifiers: readonly Identifier[]
  status: 'pending' | 'ready' | 'processing' | 'valid' | 'invalid'
  readonly expiresAt: number
  readonly authorizationIds: readonly string[]
  readonly profile: string | null
  readonly replaces: string | null
  error: AcmeProblem | null
  /** Set by finalize: what to sign and when it is due. */
  processing: { readonly csr: CheckedCsr; readonly dueAt: number } | null
  certificateId: string | null
}

/** What a certificate takes from its request. */
export type CheckedCsr = {
  readonly spki: Buffer
  readonly publicKey: KeyObject
  readonly commonName: string | null
}

/** RFC 8555 section 7.1.4. */
export type Authorization = {
  readonly id: string
  readonly accountId: string
  /** The base name of a wildcard. */
  readonly identifier: Identifier
  readonly isWildcard: boolean
  status: 'pending' | 'valid' | 'invalid' | 'deactivated' | 'expired'
  expiresAt: number
  readonly challenges: readonly Challenge[]
}

/** RFC 8555 section 7.1.5. */
export type Challenge = {
  readonly type: ChallengeType
  readonly token: string
  status: 'pending' | 'processing' | 'valid' | 'invalid'
  validatedAt: number | null
  error: AcmeProblem | null
}

/** A certificate that was issued. */
export type Certificate = {
  readonly id: string
  readonly accountId: string
  readonly orderId: string
  /** RFC 9773 section 4.1. */
  readonly certId: string
  readonly der: Buffer
  readonly serial: string
  readonly names: readonly string[]
  readonly notBefore: number
  readonly notAfter: number
  readonly publicKey: KeyObject
  /** PEM chains, leaf first: the default one, then the alternates. */
  readonly chains: readonly string[]
  revoked: { readonly at: number; readonly reason: number } | null
  /** The order that named it in `replaces`. */
  replacedBy: string | null
}

/** All that the server remembers, and forgets in `restart({ forget: true })`. */
export type State = {
  readonly nonces: Set<string>
  readonly accounts: Map<string, Account>
  readonly accountIdByThumbprint: Map<string, string>
  readonly usedExternalKids: Set<string>
  readonly orders: Map<string, Order>
  readonly authorizations: Map<string, Authorization>
  /** Valid authorizations that may serve again: `account name` -> id. */
  readonly reusable: Map<string, string>
  readonly certificates: Map<string, Certificate>
  readonly certificateByCertId: Map<string, Certificate>
  /** SHA-256 of the DER, hex. */
  readonly certificateByFingerprint: Map<string, Certificate>
  /** SHA-256 of the public keys (SPKI, hex) that were revoked for keyCompromise. */
  readonly compromisedKeys: Set<string>
}

/** An empty memory. */
export function createState(): State {
  return {
    nonces: new Set(),
    accounts: new Map(),
    accountIdByThumbprint: new Map(),
    usedExternalKids: new Set(),
    orders: new Map(),
    authorizations: new Map(),
    reusable: new Map(),
    certificates: new Map(),
    certificateByCertId: new Map(),
    certificateByFingerprint: new Map(),
    compromisedKeys: new Set(),
  }
}

/** Empties a memory. */
export function forgetAll(state: State): void {
  for (const part of Object.values(state)) part.clear()
}

/** An id that cannot be guessed. */
export function newId(): string {
  return randomBytes(9).toString('base64url')
}
