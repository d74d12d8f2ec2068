import { createSecureContext, type SecureContext } from 'node:tls'
import { tlsAlpn01Key } from '../contract/records.ts'
import { unsealFrom } from '../contract/sealing.ts'
import type { BuildDeps } from './context-build.ts'
import { tlsOptionsOf } from './tls-profiles.ts'

/** Whether there is a tls-alpn-01 challenge for a name (normalised) now. */
export function hasChallenge(reader: BuildDeps['reader'], name: string): boolean {
  return reader.get('challenge', tlsAlpn01Key(name)) !== null
}

/** The context with the challenge's own certificate (RFC 8737 section 3), or null when there is none that can be used. */
export function buildChallengeContext({ reader, keyPair, warn }: BuildDeps, name: string): SecureContext | null {
  const key = tlsAlpn01Key(name)
  const record = reader.get('challenge', key)
  if (record === null || !('sealedKey' in record)) return null
  try {
    const keyPem = unsealFrom(keyPair, Buffer.from(record.sealedKey, 'base64'), key).toString()
    return createSecureContext({ ...tlsOptionsOf('modern'), cert: record.certificatePem, key: keyPem })
  } catch (error) {
    warn({ fingerprint: key, reason: (error as Error).message })
    return null
  }
}
