import 'reflect-metadata'
import { createHash, webcrypto } from 'node:crypto'
import { BasicConstraintsExtension, SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509'

/** A self-signed certificate that nobody trusts, with its key. */
export type ThrowawayCertificate = {
  readonly chainPem: string
  readonly keyPem: string
  /** SHA-256 of the DER, hex. */
  readonly fingerprint: string
  /** RFC 3339. */
  readonly notAfter: string
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const LIFETIME_MS = 3_600_000

/** Makes a certificate for the self-test: ECDSA P-256, valid for an hour. */
export async function makeThrowawayCertificate(names: readonly string[]): Promise<ThrowawayCertificate> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const notAfter = new Date(Date.now() + LIFETIME_MS)
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${names[0]}`,
    notBefore: new Date(Date.now() - LIFETIME_MS),
    notAfter,
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(false),
      new SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value }))),
    ],
  })
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
  return {
    chainPem: certificate.toString('pem'),
    keyPem: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/(.{64})/g, '$1\n').trim()}\n-----END PRIVATE KEY-----\n`,
    fingerprint: createHash('sha256').update(Buffer.from(certificate.rawData)).digest('hex'),
    notAfter: notAfter.toISOString(),
  }
}
