import 'reflect-metadata'
import type { X509Certificate } from 'node:crypto'
import { X509Certificate as ParsedCertificate, SubjectAlternativeNameExtension } from '@peculiar/x509'

/** DNS names of the subject alternative names, lower case, each once. Throws when the extension cannot be read. */
export function dnsNamesOf(certificate: X509Certificate): string[] {
  const parsed = new ParsedCertificate(new Uint8Array(certificate.raw))
  const extension = parsed.getExtension(SubjectAlternativeNameExtension)
  const names = extension?.names.items.filter(({ type }) => type === 'dns').map(({ value }) => value.toLowerCase())
  return [...new Set(names ?? [])]
}

/**
 * Whether a certificate with these names serves a hostname: the same name, or a wildcard for exactly one
 * label (RFC 9525 section 6.3). A hostname that is a wildcard itself needs that very name. Pure.
 */
export function covers(names: readonly string[], hostname: string): boolean {
  const dot = hostname.indexOf('.')
  return names.includes(hostname) || (!hostname.startsWith('*.') && names.includes(`*${hostname.slice(dot)}`))
}
