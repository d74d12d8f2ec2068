import { createPrivateKey, X509Certificate } from 'node:crypto'
import { isIP, SocketAddress } from 'node:net'

const MAX_CHAIN_BYTES = 100_000
const MAX_CHAIN_LENGTH = 10
/** A CA's clock may be a little ahead of ours. */
export const CLOCK_SKEW_MS = 5 * 60_000
const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** A chain that must not be served. `message` says why. */
export class ChainError extends Error {
  override name = 'ChainError'
}

/** What is known of a leaf that may be served. */
export type VerifiedChain = {
  /** Leaf first, normalised PEM. */
  readonly chainPem: string
  /** SHA-256 of the leaf in DER, hex, lower case. */
  readonly fingerprint: string
  /** Hex, lower case. */
  readonly serial: string
  readonly names: readonly string[]
  readonly keyAlgorithm: string
  readonly notBefore: Date
  readonly notAfter: Date
}

/**
 * Checks a chain before it is activated: it parses, each certificate is signed by the next, the leaf
 * belongs to the key, covers every name (DNS name or IP address) literally, is no staging CA's and valid now. Whether the root is trusted is
 * not asked: that is the visitor's choice. Throws `ChainError`.
 */
export function verifyChain(chainPem: string, keyPem: string, names: readonly string[], now: Date): VerifiedChain {
  const certificates = parseChain(chainPem)
  const leaf = certificates[0]
  if (leaf === undefined) throw new ChainError('the answer holds no certificate')
  if (!leaf.checkPrivateKey(createPrivateKey(keyPem))) throw new ChainError('the certificate is for another key')
  checkLinks(certificates)
  if (isOfStaging(leaf)) throw new ChainError('it was issued by a staging CA, which no browser trusts')
  const covered = subjectNames(leaf)
  const missing = names.find((name) => !covered.includes(name))
  if (missing !== undefined) throw new ChainError(`the certificate does not cover ${missing}`)
  const notBefore = leaf.validFromDate
  const notAfter = leaf.validToDate
  if (notBefore.getTime() > now.getTime() + CLOCK_SKEW_MS)
    throw new ChainError(`the certificate is not valid before ${notBefore.toISOString()}; is the clock right?`)
  if (notAfter <= now) throw new ChainError(`the certificate has expired at ${notAfter.toISOString()}`)
  return {
    chainPem: certificates.map((certificate) => certificate.toString()).join(''),
    fingerprint: leaf.fingerprint256.replaceAll(':', '').toLowerCase(),
    serial: leaf.serialNumber.toLowerCase(),
    names: covered,
    keyAlgorithm: keyAlgorithmOf(leaf),
    notBefore,
    notAfter,
  }
}

function parseChain(chainPem: string): X509Certificate[] {
  if (chainPem.length > MAX_CHAIN_BYTES) throw new ChainError('the chain is too large')
  const blocks = chainPem.match(PEM_BLOCK) ?? []
  if (blocks.length > MAX_CHAIN_LENGTH) throw new ChainError('the chain has too many certificates')
  try {
    return blocks.map((block) => new X509Certificate(block))
  } catch (cause) {
    throw new ChainError('a certificate of the chain cannot be read', { cause })
  }
}

function checkLinks(certificates: readonly X509Certificate[]): void {
  for (const [index, certificate] of certificates.entries()) {
    const next = certificates[index + 1]
    if (next === undefined) return
    if (!certificate.checkIssued(next) || !certificate.verify(next.publicKey))
      throw new ChainError(`certificate ${index + 1} of the chain is not signed by the next one`)
  }
}

function subjectNames(leaf: X509Certificate): string[] {
  const entries = (leaf.subjectAltName ?? '').split(', ')
  return entries.flatMap((entry) => {
    if (entry.startsWith('DNS:')) return [entry.slice(4).toLowerCase()]
    return entry.startsWith('IP Address:') ? [canonicalAddress(entry.slice(11))] : []
  })
}

/** Node prints IPv6 in full; names are kept as RFC 5952 writes them. */
function canonicalAddress(address: string): string {
  return new SocketAddress({ address, family: isIP(address) === 6 ? 'ipv6' : 'ipv4' }).address
}

/** A staging CA says so in its names (letsencrypt.org/docs/staging-environment): no browser trusts it. */
function isOfStaging({ issuer }: X509Certificate): boolean {
  return /(^|=)\(STAGING\)|Fake LE/m.test(issuer)
}

/** `ec prime256v1` or `rsa 2048`. */
export function keyAlgorithmOf(leaf: X509Certificate): string {
  const { asymmetricKeyType, asymmetricKeyDetails } = leaf.publicKey
  if (asymmetricKeyType === 'ec') return `ec ${asymmetricKeyDetails?.namedCurve ?? 'unknown'}`
  return `${asymmetricKeyType ?? 'unknown'} ${asymmetricKeyDetails?.modulusLength ?? ''}`.trim()
}
