import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { Extension, SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509'
import type { Payloads } from '../contract/records.ts'
import { tlsAlpn01Key } from '../contract/records.ts'
import { sealTo } from '../contract/sealing.ts'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
/** id-pe-acmeIdentifier (RFC 8737 section 6.1). */
const ACME_IDENTIFIER = '1.3.6.1.5.5.7.1.31'

/** The record of a tls-alpn-01 challenge of `name`, sealed to an edge, as RFC 8737 section 3 wants its certificate. */
export async function tlsAlpn01Record(edgeKey: Buffer, name: string): Promise<Payloads['challenge']> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const digest = await webcrypto.subtle.digest('SHA-256', Buffer.from('token.thumbprint'))
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=challenge',
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new SubjectAlternativeNameExtension([{ type: 'dns', value: name }]),
      new Extension(ACME_IDENTIFIER, true, Buffer.concat([Buffer.of(4, 32), Buffer.from(digest)])),
    ],
  })
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
  const keyPem = `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`
  const sealedKey = sealTo(edgeKey, Buffer.from(keyPem), tlsAlpn01Key(name)).toString('base64')
  return { name, certificatePem: certificate.toString('pem'), sealedKey }
}
