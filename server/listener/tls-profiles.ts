import { constants } from 'node:crypto'
import type { SecureContextOptions } from 'node:tls'
import type { ClientHello } from './hello-body.ts'
import { hasTripleDes, legacyCipherList } from './runtime.ts'

/** Which clients a context is for: all of today, or also those of a legacy address (`AddressRecord.legacyTls`). */
export type TlsProfile = 'modern' | 'tls1.0' | 'tls1.0-3des'

/** Suites of TLS 1.3, then of TLS 1.2. Short: each name that is left out saves memory in every context. */
const modernSuites = [
  ['TLS_AES_128_GCM_SHA256', 0x1301],
  ['TLS_CHACHA20_POLY1305_SHA256', 0x1303],
  ['TLS_AES_256_GCM_SHA384', 0x1302],
  ['ECDHE-ECDSA-AES128-GCM-SHA256', 0xc02b],
  ['ECDHE-RSA-AES128-GCM-SHA256', 0xc02f],
] as const
const modernNumbers: ReadonlySet<number> = new Set(modernSuites.map(([, number]) => number))
const modernNames = modernSuites.map(([name]) => name)
/** What clients of TLS 1.0 have: with forward secrecy first, RSA key exchange last. */
const oldNames = [
  'ECDHE-ECDSA-AES128-SHA',
  'ECDHE-RSA-AES128-SHA',
  'ECDHE-RSA-AES256-SHA',
  'AES128-SHA',
  'AES256-SHA',
] as const
const TLS_1_2 = 0x0303

const common = {
  honorCipherOrder: true,
  ecdhCurve: 'X25519MLKEM768:X25519:P-256',
  // BoringSSL knows no renegotiation by clients, and neither library compression.
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION ?? 0,
} as const

/**
 * The options of `createSecureContext` that a profile means. RC4 and export suites are in none, nobody may
 * renegotiate, and there is no compression.
 */
export function tlsOptionsOf(profile: TlsProfile): SecureContextOptions {
  if (profile === 'modern') return { ...common, minVersion: 'TLSv1.2', ciphers: modernNames.join(':') }
  const tripleDes = profile === 'tls1.0-3des' && hasTripleDes ? ['DES-CBC3-SHA'] : []
  const ciphers = legacyCipherList([...modernNames, ...oldNames, ...tripleDes])
  return { ...common, minVersion: 'TLSv1', ciphers }
}

/** Whether a client can only be served by a legacy profile: it lacks TLS 1.2, or all suites of the modern one. */
export function isOldClient({ versions, suites }: Pick<ClientHello, 'versions' | 'suites'>): boolean {
  const hasVersion = versions.some((version) => version === TLS_1_2 || version === TLS_1_2 + 1)
  return !hasVersion || !suites.some((suite) => modernNumbers.has(suite))
}
