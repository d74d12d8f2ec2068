import 'reflect-metadata'
import { createHash, webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'

/** A certificate as a test hands it to the listener or an upload. */
export type TestCertificate = {
  /** Leaf and root. */
  readonly chainPem: string
  readonly privateKeyPem: string
  /** SHA-256 of the leaf, hex. */
  readonly fingerprint: string
  readonly names: readonly string[]
  /** RFC 3339. */
  readonly notAfter: string
}

/** A CA of one test. */
export type TestAuthority = {
  readonly caPem: string
  /** Signs a leaf; `rsa` for a 2048-bit RSA key, else ECDSA P-256. */
  issue(names: readonly string[], options?: { rsa?: boolean; notAfter?: Date }): Promise<TestCertificate>
}

const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const rsa = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  publicExponent: new Uint8Array([1, 0, 1]),
  modulusLength: 2_048,
}
const DAY_MS = 86_400_000

/** Makes a CA with a key of its own. */
export async function createTestAuthority(name = 'Nameplate test CA'): Promise<TestAuthority> {
  const keys = await webcrypto.subtle.generateKey(ecdsa, true, ['sign', 'verify'])
  const root = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + 365 * DAY_MS),
    keys,
    signingAlgorithm: ecdsa,
    extensions: [new BasicConstraintsExtension(true, 0, true)],
  })
  return {
    caPem: root.toString('pem'),
    async issue(names, options = {}) {
      const leafKeys = await webcrypto.subtle.generateKey(options.rsa ? rsa : ecdsa, true, ['sign', 'verify'])
      const notAfter = options.notAfter ?? new Date(Date.now() + 90 * DAY_MS)
      const leaf = await X509CertificateGenerator.create({
        subject: `CN=${names[0]}`,
        issuer: root.subject,
        notBefore: new Date(Math.min(Date.now(), notAfter.getTime()) - DAY_MS),
        notAfter,
        publicKey: leafKeys.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: ecdsa,
        extensions: [
          new BasicConstraintsExtension(false),
          new SubjectAlternativeNameExtension(
            names.map((value) => ({ type: /^[0-9.]+$|:/.test(value) ? 'ip' : 'dns', value })),
          ),
        ],
      })
      return {
        chainPem: `${leaf.toString('pem')}\n${root.toString('pem')}\n`,
        privateKeyPem: await pemOf(leafKeys.privateKey),
        fingerprint: fingerprintOf(leaf),
        names,
        notAfter: notAfter.toISOString(),
      }
    },
  }
}

function fingerprintOf(certificate: X509Certificate): string {
  return createHash('sha256').update(Buffer.from(certificate.rawData)).digest('hex')
}

async function pemOf(key: webcrypto.CryptoKey): Promise<string> {
  const body = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64')
  return `-----BEGIN PRIVATE KEY-----\n${body.replace(/(.{64})/g, '$1\n').trim()}\n-----END PRIVATE KEY-----\n`
}
