import { createHmac, timingSafeEqual, verify } from 'node:crypto'
import type { RequestKey } from './jwk.ts'
import { AcmeProblem } from './problem.ts'

/** A flattened JWS (RFC 7515 section 7.2.2), parsed, nothing verified. */
export type Jws = {
  readonly header: Readonly<Record<string, unknown>>
  /** Empty in a POST-as-GET (RFC 8555 section 6.3). */
  readonly payload: Buffer
  readonly signature: Buffer
  readonly signed: Buffer
}

const digests = { ES256: 'sha256', ES384: 'sha384', ES512: 'sha512', RS256: 'sha256' } as const
const macs: Readonly<Record<string, string>> = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' }

/** Parses a JWS strictly (RFC 8555 section 6.2): three members, protected headers alone. Throws `malformed`. */
export function readJws(value: unknown): Jws {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('Parse error reading JWS')
  const body = value as Record<string, unknown>
  if ('header' in body) throw malformed('JWS "header" field not allowed. All headers must be in "protected" field')
  if ('signatures' in body)
    throw malformed('JWS "signatures" field not allowed. Only the "signature" field should contain a signature')
  const { protected: head, payload, signature } = body
  if (typeof head !== 'string' || typeof payload !== 'string' || typeof signature !== 'string') {
    throw malformed('A JWS needs protected, payload and signature')
  }
  const header = parseJson(decodeBase64url(head), 'the protected header')
  if ('crit' in header) throw malformed('JWS "crit" names extensions that are not understood')
  if ('b64' in header) throw malformed('JWS "b64" is not allowed')
  return {
    header,
    payload: decodeBase64url(payload),
    signature: decodeBase64url(signature),
    signed: Buffer.from(`${head}.${payload}`),
  }
}

/** Checks the signature with a public key. Throws `badSignatureAlgorithm` or `malformed`. */
export function verifyJws(jws: Jws, key: RequestKey): void {
  const { alg } = jws.header
  if (alg !== key.algorithm) {
    const algorithms = Object.keys(digests)
    const detail = algorithms.includes(String(alg))
      ? `JWS signature algorithm ${alg} does not fit the key, which needs ${key.algorithm}`
      : `JWS signature header contains unsupported algorithm ${JSON.stringify(alg)}, expected one of ${algorithms.join(', ')}`
    throw new AcmeProblem('badSignatureAlgorithm', detail, { members: { algorithms } })
  }
  const isRight = verify(digests[key.algorithm], jws.signed, { key: key.key, dsaEncoding: 'ieee-p1363' }, jws.signature)
  if (!isRight) throw malformed('JWS verification error')
}

/** Whether a JWS carries a right MAC, by an algorithm for that. */
export function hasMac(jws: Jws, secret: Buffer): boolean {
  const digest = macs[String(jws.header.alg)]
  if (digest === undefined) return false
  const expected = createHmac(digest, secret).update(jws.signed).digest()
  return expected.length === jws.signature.length && timingSafeEqual(expected, jws.signature)
}

/** A JSON object out of octets. Throws `malformed`. */
export function parseJson(bytes: Buffer, what: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString())
  } catch {
    throw malformed(`${what} is no JSON`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(`${what} is no JSON object`)
  return value as Record<string, unknown>
}

/** Octets of base64url without padding (RFC 7515 section 2). Throws `malformed` for any other character. */
export function decodeBase64url(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.toString('base64url') !== text) throw malformed('base64url without padding was expected')
  return bytes
}

function malformed(detail: string): AcmeProblem {
  return new AcmeProblem('malformed', detail)
}
