import 'reflect-metadata'
import { createPublicKey, generateKeyPair, type KeyObject, type webcrypto } from 'node:crypto'
import { promisify } from 'node:util'
import {
  type JsonName,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509'
import type { RequestKeyType, RequestSubject } from './schema.ts'

const generate = promisify(generateKeyPair)
/** Longest common name (RFC 5280 appendix A.1, ub-common-name). */
const MAX_COMMON_NAME = 64

/** How each kind of key signs, for WebCrypto. */
const algorithms: Readonly<
  Record<
    RequestKeyType,
    { readonly key: webcrypto.EcKeyImportParams | webcrypto.RsaHashedImportParams; readonly hash: string }
  >
> = {
  'ec-p256': { key: { name: 'ECDSA', namedCurve: 'P-256' }, hash: 'SHA-256' },
  'ec-p384': { key: { name: 'ECDSA', namedCurve: 'P-384' }, hash: 'SHA-384' },
  'rsa-2048': { key: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, hash: 'SHA-256' },
  'rsa-4096': { key: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, hash: 'SHA-256' },
}

/** A new key of this kind, made by OpenSSL in the thread pool. */
export async function generateRequestKey(keyType: RequestKeyType): Promise<KeyObject> {
  if (keyType === 'ec-p256' || keyType === 'ec-p384') {
    const { privateKey } = await generate('ec', { namedCurve: keyType === 'ec-p256' ? 'P-256' : 'P-384' })
    return privateKey
  }
  const { privateKey } = await generate('rsa', { modulusLength: keyType === 'rsa-2048' ? 2_048 : 4_096 })
  return privateKey
}

/**
 * The request (RFC 2986), PEM. Names stand in the subject alternative names; the first is the common name as
 * well where it is short enough, since CAs that are no ACME CAs still ask for one.
 */
export async function createRequestPem(
  key: KeyObject,
  keyType: RequestKeyType,
  names: readonly string[],
  subject: RequestSubject,
): Promise<string> {
  const { key: algorithm, hash } = algorithms[keyType]
  const privateKey = key.toCryptoKey(algorithm, false, ['sign'])
  const publicKey = createPublicKey(key).toCryptoKey(algorithm, true, ['verify'])
  const csr = await Pkcs10CertificateRequestGenerator.create({
    name: subjectOf(names, subject),
    keys: { privateKey, publicKey },
    signingAlgorithm: { name: algorithm.name, hash },
    extensions: [
      new SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value }))),
      new KeyUsagesExtension(
        KeyUsageFlags.digitalSignature | (keyType.startsWith('rsa') ? KeyUsageFlags.keyEncipherment : 0),
        true,
      ),
    ],
  })
  return `${csr.toString('pem')}\n`
}

function subjectOf([first = '']: readonly string[], subject: RequestSubject): JsonName {
  const { country, state, locality, organization, organizationalUnit } = subject
  const commonName = first.length <= MAX_COMMON_NAME ? first : undefined
  const parts = { C: country, ST: state, L: locality, O: organization, OU: organizationalUnit, CN: commonName }
  return Object.entries(parts).flatMap(([type, value]) => (value === undefined ? [] : [{ [type]: [value] }]))
}
