import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { bitString, explicit, integer, objectId, octetString, sequence, tags, time, tlv } from './der.ts'

/** A CA certificate with its key. */
export type Authority = {
  readonly name: Buffer
  readonly key: KeyObject
  readonly keyId: Buffer
  readonly der: Buffer
  readonly pem: string
}

/** Two roots and an intermediate that both have signed; `stranger` is one that signed nothing. */
export type Hierarchy = {
  readonly roots: readonly [Authority, Authority]
  readonly intermediate: Authority
  /** The same intermediate (name and key) signed by the second root. */
  readonly crossSigned: Authority
  readonly expired: Authority
  readonly stranger: Authority
}

/** What a certificate is made of (RFC 5280 section 4.1). */
export type Template = {
  readonly serial: Buffer
  readonly issuer: { readonly name: Buffer; readonly key: KeyObject }
  readonly subject: Buffer
  readonly notBefore: number
  readonly notAfter: number
  readonly spki: Buffer
  readonly extensions: readonly Buffer[]
}

const YEAR_MS = 365 * 86_400_000
const ECDSA_WITH_SHA256 = sequence(objectId('1.2.840.10045.4.3.2'))
const TRUE = tlv(tags.boolean, Buffer.from([0xff]))

export const extensionIds = {
  keyUsage: '2.5.29.15',
  basicConstraints: '2.5.29.19',
  extendedKeyUsage: '2.5.29.37',
  subjectKeyId: '2.5.29.14',
  authorityKeyId: '2.5.29.35',
  subjectAltName: '2.5.29.17',
  certificatePolicies: '2.5.29.32',
} as const

/** Makes new keys and certificates of a CA. `now`: ms since 1970. */
export function createHierarchy(now: number): Hierarchy {
  const mark = randomBytes(3).toString('hex')
  const valid = { notBefore: now - YEAR_MS, notAfter: now + 10 * YEAR_MS }
  const makeRoot = (number: number): Authority =>
    createAuthority(`Test Root X${number} ${mark}`, null, generateKey(), valid)
  const roots = [makeRoot(1), makeRoot(2)] as const
  const name = `Test Intermediate E1 ${mark}`
  const key = generateKey()
  return {
    roots,
    intermediate: createAuthority(name, roots[0], key, valid),
    crossSigned: createAuthority(name, roots[1], key, valid),
    expired: createAuthority(name, roots[0], key, { notBefore: now - 2 * YEAR_MS, notAfter: now - YEAR_MS / 365 }),
    stranger: createAuthority(`Test Intermediate E9 ${mark}`, roots[0], generateKey(), valid),
  }
}

/** Signs a certificate by ECDSA with SHA-256; DER. */
export function signCertificate(template: Template): Buffer {
  const content = sequence(
    explicit(0, integer(Buffer.from([2]))),
    integer(template.serial),
    ECDSA_WITH_SHA256,
    template.issuer.name,
    sequence(time(template.notBefore), time(template.notAfter)),
    template.subject,
    template.spki,
    explicit(3, sequence(...template.extensions)),
  )
  const signature = sign('sha256', content, { key: template.issuer.key, dsaEncoding: 'der' })
  return sequence(content, ECDSA_WITH_SHA256, bitString(signature))
}

/** One extension of a certificate. */
export function extension(id: string, isCritical: boolean, value: Buffer): Buffer {
  return sequence(objectId(id), ...(isCritical ? [TRUE] : []), octetString(value))
}

/** `CN=...`; without a name the empty subject. */
export function distinguishedName(commonName: string | null): Buffer {
  if (commonName === null) return sequence()
  return sequence(tlv(tags.set, sequence(objectId('2.5.4.3'), tlv(tags.utf8, Buffer.from(commonName)))))
}

/** RFC 7093 section 2, method 1: 160 bits of SHA-256 over the key bits. */
export function keyIdOf(keyBits: Buffer): Buffer {
  return createHash('sha256').update(keyBits).digest().subarray(0, 20)
}

/** PEM of a certificate, with a line end. */
export function toPem(der: Buffer): string {
  return `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{64}(?!$)/g, '$&\n')}\n-----END CERTIFICATE-----\n`
}

/** A new ECDSA P-256 key. */
export function generateKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
}

/** SubjectPublicKeyInfo of a key, DER. */
export function spkiOf(key: KeyObject): Buffer {
  return createPublicKey(key).export({ format: 'der', type: 'spki' })
}

function createAuthority(
  commonName: string,
  parent: Authority | null,
  key: KeyObject,
  validity: { notBefore: number; notAfter: number },
): Authority {
  const name = distinguishedName(commonName)
  const spki = spkiOf(key)
  const keyId = keyIdOf(spki.subarray(-65))
  const pathLength = parent === null ? [] : [integer(Buffer.from([0]))]
  const der = signCertificate({
    serial: randomBytes(16),
    issuer: parent ?? { name, key },
    subject: name,
    ...validity,
    spki,
    extensions: [
      extension(extensionIds.basicConstraints, true, sequence(TRUE, ...pathLength)),
      // keyCertSign and cRLSign.
      extension(extensionIds.keyUsage, true, bitString(Buffer.from([0b0000_0110]), 1)),
      extension(extensionIds.subjectKeyId, false, octetString(keyId)),
      ...(parent === null ? [] : [authorityKeyId(parent.keyId)]),
    ],
  })
  return { name, key, keyId, der, pem: toPem(der) }
}

/** The extension that names the issuer's key. */
export function authorityKeyId(keyId: Buffer): Buffer {
  return extension(extensionIds.authorityKeyId, false, sequence(tlv(0x80, keyId)))
}
