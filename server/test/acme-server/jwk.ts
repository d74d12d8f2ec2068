import { createHash, createPublicKey, type KeyObject, type webcrypto } from 'node:crypto'
import { AcmeProblem } from './problem.ts'

type JsonWebKey = webcrypto.JsonWebKey

/** A public key that signs requests. */
export type RequestKey = {
  readonly key: KeyObject
  /** Only the members that RFC 7638 hashes. */
  readonly jwk: JsonWebKey
  /** RFC 7638 over SHA-256, base64url. */
  readonly thumbprint: string
  /** The one JWS algorithm that fits the key. */
  readonly algorithm: 'ES256' | 'ES384' | 'ES512' | 'RS256'
}

const curves: Readonly<Record<string, RequestKey['algorithm']>> = {
  'P-256': 'ES256',
  'P-384': 'ES384',
  'P-521': 'ES512',
}

/** Reads the JWK of a protected header. Throws `malformed`, or `badPublicKey` for a key that we do not take. */
export function readJwk(value: unknown): RequestKey {
  if (typeof value !== 'object' || value === null) throw new AcmeProblem('malformed', 'The JWK is no object')
  const jwk = value as Record<string, unknown>
  if ('d' in jwk) throw new AcmeProblem('malformed', 'The JWK holds a private key')
  const members = jwk.kty === 'EC' ? ['crv', 'kty', 'x', 'y'] : jwk.kty === 'RSA' ? ['e', 'kty', 'n'] : null
  if (members === null) throw new AcmeProblem('badPublicKey', `Key type ${JSON.stringify(jwk.kty)} is not supported`)
  if (!members.every((name) => typeof jwk[name] === 'string'))
    throw new AcmeProblem('malformed', 'The JWK lacks a member')
  const canonical = Object.fromEntries(members.map((name) => [name, jwk[name]])) as JsonWebKey
  const algorithm = jwk.kty === 'RSA' ? 'RS256' : curves[String(jwk.crv)]
  if (algorithm === undefined)
    throw new AcmeProblem('badPublicKey', `Curve ${JSON.stringify(jwk.crv)} is not supported`)
  const key = importKey(canonical)
  const bits = key.asymmetricKeyDetails?.modulusLength
  if (bits !== undefined && (bits < 2_048 || bits > 4_096)) {
    throw new AcmeProblem('badPublicKey', `RSA key of ${bits} bits; 2048 to 4096 are taken`)
  }
  const thumbprint = createHash('sha256').update(JSON.stringify(canonical)).digest('base64url')
  return { key, jwk: canonical, thumbprint, algorithm }
}

function importKey(jwk: JsonWebKey): KeyObject {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' })
  } catch {
    throw new AcmeProblem('badPublicKey', 'The JWK is no public key')
  }
}
