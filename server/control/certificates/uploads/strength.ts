import type { KeyObject, X509Certificate } from 'node:crypto'

/** CA/Browser Forum Baseline Requirements section 6.1.5. */
const LEAST_RSA_BITS = 2_048
/** Larger keys cost each handshake many times as much, on workers that all sites share. */
const MOST_RSA_BITS = 4_096
const CURVES: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }

/** Why a public key is not accepted, as a sentence; null when it is. RSA of 2048 to 4096 bits, or EC P-256, P-384, P-521. */
export function weaknessOfKey(key: KeyObject): string | null {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'rsa') {
    const bits = details?.modulusLength ?? 0
    if (bits < LEAST_RSA_BITS) return `The RSA key has ${bits} bits; at least ${LEAST_RSA_BITS} are needed.`
    if (bits > MOST_RSA_BITS)
      return `The RSA key has ${bits} bits; more than ${MOST_RSA_BITS} only make each handshake slower.`
    return null
  }
  if (type === 'ec') {
    if (CURVES[details?.namedCurve ?? ''] !== undefined) return null
    return `The curve ${details?.namedCurve ?? 'of the key'} is known to no browser; use P-256, P-384 or P-521.`
  }
  if (type === 'ed25519' || type === 'ed448')
    return 'Ed25519 and Ed448 keys are accepted by no public CA, and no browser connects with one; use EC P-256 or RSA 2048.'
  return `Keys of the kind ${type ?? 'unknown'} cannot be served; use EC P-256 or RSA 2048.`
}

/** Why the signature on a certificate is not accepted, as a sentence; null when it is. */
export function weaknessOfSignature({ signatureAlgorithm = '' }: X509Certificate): string | null {
  if (!/md2|md4|md5|sha1(?!\d)|sha-1(?!\d)/i.test(signatureAlgorithm)) return null
  return `It is signed with ${signatureAlgorithm}, which browsers have refused since 2017.`
}
