import 'reflect-metadata'
import { createHash, randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import { Extension, SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509'
import { generateKeyPem, importKeyPair } from './keys.ts'

/** id-pe-acmeIdentifier (RFC 8737 section 3). */
const ACME_IDENTIFIER = '1.3.6.1.5.5.7.1.31'
/** Long enough for a slow validation, and clocks that differ. */
const LIFETIME_MS = 7 * 86_400_000

/**
 * The self-signed certificate that answers tls-alpn-01 (RFC 8737 section 3): `name` as its only subject
 * alternative name and the digest of the key authorization in a critical extension. PEM, with its key.
 */
export async function createChallengeCertificate(
  name: string,
  keyAuthorization: string,
  now: Date,
): Promise<{ certificatePem: string; keyPem: string }> {
  const keyPem = await generateKeyPem()
  const digest = createHash('sha256').update(keyAuthorization).digest()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: `01${randomBytes(15).toString('hex')}`,
    name: [{ CN: ['ACME challenge'] }],
    notBefore: new Date(now.getTime() - LIFETIME_MS),
    notAfter: new Date(now.getTime() + LIFETIME_MS),
    keys: await importKeyPair(keyPem),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new SubjectAlternativeNameExtension([{ type: isIP(name) === 0 ? 'dns' : 'ip', value: name }]),
      // The value is an OCTET STRING in DER.
      new Extension(ACME_IDENTIFIER, true, Buffer.concat([Buffer.of(0x04, digest.length), digest])),
    ],
  })
  return { certificatePem: certificate.toString('pem'), keyPem }
}
