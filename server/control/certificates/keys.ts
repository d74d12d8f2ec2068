import 'reflect-metadata'
import { createPrivateKey, generateKeyPair, webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import { promisify } from 'node:util'
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from '@peculiar/x509'

const generate = promisify(generateKeyPair)
const algorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const

/** A new ECDSA P-256 key as PKCS#8 PEM: one for each order, each account and each local root. */
export async function generateKeyPem(): Promise<string> {
  const { privateKey } = await generate('ec', { namedCurve: 'P-256' })
  return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
}

/** Both halves of a P-256 key for signing by WebCrypto. Throws when the PEM is not such a key. */
export async function importKeyPair(keyPem: string): Promise<webcrypto.CryptoKeyPair> {
  const key = createPrivateKey(keyPem)
  const jwk = key.export({ format: 'jwk' })
  const publicJwk = { kty: 'EC', crv: 'P-256', x: jwk.x ?? '', y: jwk.y ?? '' }
  const [privateKey, publicKey] = await Promise.all([
    webcrypto.subtle.importKey('jwk', { ...publicJwk, d: jwk.d ?? '' }, algorithm, true, ['sign']),
    webcrypto.subtle.importKey('jwk', publicJwk, algorithm, true, ['verify']),
  ])
  return { privateKey, publicKey }
}

/**
 * The request for a certificate over `names`, DNS names or IP addresses (RFC 2986), PEM. They stand in the subject
 * alternative names alone, lower case, each once; there is no common name, so that names of more
 * than 64 octets work too.
 */
export async function createCsr(keyPem: string, names: readonly string[]): Promise<string> {
  const unique = [...new Set(names.map((name) => name.toLowerCase()))]
  const csr = await Pkcs10CertificateRequestGenerator.create({
    keys: await importKeyPair(keyPem),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new SubjectAlternativeNameExtension(
        unique.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value })),
      ),
    ],
  })
  return csr.toString('pem')
}
