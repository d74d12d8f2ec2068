import 'reflect-metadata'
import { AuthorityKeyIdentifierExtension, X509Certificate } from '@peculiar/x509'
import type { RenewalInfo } from './issuer.ts'

/** A window that is longer than this, or of another century, is no suggestion that can be meant. */
const MAX_WINDOW_MS = 400 * 86_400_000

/**
 * The identifier of a certificate in ARI (RFC 9773 section 4.1): key identifier of its authority and
 * serial number, each base64url. Null for a certificate without an authority key identifier. Takes
 * PEM, leaf first.
 */
export function certificateIdentifier(chainPem: string): string | null {
  const leaf = new X509Certificate(chainPem)
  const keyId = leaf.getExtension(AuthorityKeyIdentifierExtension)?.keyId
  if (keyId === undefined) return null
  return `${Buffer.from(keyId, 'hex').toString('base64url')}.${serialOf(leaf.serialNumber).toString('base64url')}`
}

/** The DER content of the serial number: hex of a positive number, with its leading zero octet where DER has one. */
function serialOf(hex: string): Buffer {
  const even = hex.length % 2 === 0 ? hex : `0${hex}`
  const bytes = Buffer.from(even, 'hex')
  return (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes
}

/** Reads a RenewalInfo object (RFC 9773 section 4.2); null when it is none, or its window makes no sense. */
export function parseRenewalInfo(body: unknown, retryAfterMs: number | null): RenewalInfo | null {
  if (typeof body !== 'object' || body === null) return null
  const { suggestedWindow, explanationURL } = body as { suggestedWindow?: unknown; explanationURL?: unknown }
  const { start, end } = (suggestedWindow ?? {}) as { start?: unknown; end?: unknown }
  if (typeof start !== 'string' || typeof end !== 'string') return null
  const lengthMs = Date.parse(end) - Date.parse(start)
  if (!(lengthMs >= 0 && lengthMs <= MAX_WINDOW_MS)) return null
  const isLink =
    typeof explanationURL === 'string' && /^https?:\/\//.test(explanationURL) && explanationURL.length < 500
  return { start: new Date(start), end: new Date(end), explanationUrl: isLink ? explanationURL : null, retryAfterMs }
}
