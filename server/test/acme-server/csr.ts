import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto'
import { bitStringBytes, type Element, objectIdText, readChildren, readElement, tags } from './der.ts'
import { extensionIds } from './hierarchy.ts'
import type { Identifier } from './identifier.ts'
import { addressText } from './identifiers.ts'
import { AcmeProblem } from './problem.ts'
import type { CheckedCsr } from './state.ts'

const EXTENSION_REQUEST = '1.2.840.113549.1.9.14'
const COMMON_NAME = '2.5.4.3'
/** Signature algorithms of requests that are taken; SHA-1 is not among them. */
const digests: Readonly<Record<string, string>> = {
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
}
const curves = new Set(['prime256v1', 'secp384r1'])
const rsaBits = new Set([2_048, 3_072, 4_096])

type ParsedCsr = CheckedCsr & { readonly names: readonly Identifier[] }

/** What a request is held against. */
export type CsrExpectation = {
  readonly identifiers: readonly Identifier[]
  /** The key of the account, which must not be the certificate's (RFC 8555 section 11.1). */
  readonly accountKey: KeyObject
  /** SHA-256 of keys, hex, that are known to be compromised. */
  readonly compromisedKeys: ReadonlySet<string>
}

/** Reads and checks the CSR of finalize (RFC 8555 section 7.4). Throws `badCSR` or `badPublicKey`. */
export function checkCsr(der: Buffer, expected: CsrExpectation): CheckedCsr {
  const csr = parse(der)
  checkKey(csr.publicKey)
  if (csr.publicKey.equals(expected.accountKey)) throw bad('certificate public key must be different than account key')
  if (expected.compromisedKeys.has(keyHash(csr.spki))) {
    throw new AcmeProblem('badCSR', 'The public key is known to be compromised')
  }
  checkNames(csr, expected.identifiers)
  return csr
}

/** SHA-256 of a SubjectPublicKeyInfo, hex. */
export function keyHash(spki: Buffer): string {
  return createHash('sha256').update(spki).digest('hex')
}

function checkKey(key: KeyObject): void {
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {}
  const isTaken = key.asymmetricKeyType === 'ec' ? curves.has(namedCurve ?? '') : rsaBits.has(modulusLength ?? 0)
  if (!isTaken)
    throw new AcmeProblem(
      'badPublicKey',
      `Key of ${namedCurve ?? `${key.asymmetricKeyType} ${modulusLength} bits`} is not taken`,
    )
}

function checkNames({ names, commonName }: ParsedCsr, identifiers: readonly Identifier[]): void {
  const keyOf = ({ type, value }: Identifier): string => `${type}:${value}`
  const asked = new Set(names.map(keyOf))
  const ordered = new Set(identifiers.map(keyOf))
  if (commonName !== null && !asked.has(`dns:${commonName}`) && !asked.has(`ip:${commonName}`))
    asked.add(`dns:${commonName}`)
  const extra = [...asked].filter((key) => !ordered.has(key))
  const missing = [...ordered].filter((key) => !asked.has(key))
  if (extra.length === 0 && missing.length === 0) return
  const parts = [
    ...(extra.length === 0 ? [] : [`CSR contains ${extra.join(', ')}, which the order does not`]),
    ...(missing.length === 0 ? [] : [`CSR is missing ${missing.join(', ')}`]),
  ]
  throw bad(`Order includes different names than CSR specifies: ${parts.join('; ')}`)
}

function parse(der: Buffer): ParsedCsr {
  try {
    const outer = readElement(der)
    if (outer.tag !== tags.sequence || outer.bytes.length !== der.length) throw new RangeError('no single SEQUENCE')
    const [info, algorithm, signature] = readChildren(outer.content)
    const [, subject, spki, attributes] = readChildren(info?.content ?? Buffer.alloc(0))
    if (info === undefined || subject === undefined || spki === undefined)
      throw new RangeError('no CertificationRequestInfo')
    const digest = digests[objectIdText(readElement(algorithm?.content ?? Buffer.alloc(0)).content)]
    if (digest === undefined) throw new RangeError('a signature algorithm that is not taken')
    const publicKey = createPublicKey({ key: spki.bytes, format: 'der', type: 'spki' })
    if (!verify(digest, info.bytes, publicKey, bitStringBytes(signature)))
      throw new RangeError('the signature is wrong')
    return { spki: Buffer.from(spki.bytes), publicKey, commonName: commonNameOf(subject), names: namesOf(attributes) }
  } catch (error) {
    if (error instanceof AcmeProblem) throw error
    throw bad(`Error parsing certificate request: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function commonNameOf(subject: Element): string | null {
  for (const set of readChildren(subject.content)) {
    for (const attribute of readChildren(set.content)) {
      const [id, value] = readChildren(attribute.content)
      if (id !== undefined && value !== undefined && objectIdText(id.content) === COMMON_NAME)
        return value.content.toString().toLowerCase()
    }
  }
  return null
}

function namesOf(attributes: Element | undefined): Identifier[] {
  for (const attribute of readChildren(attributes?.content ?? Buffer.alloc(0))) {
    const [id, values] = readChildren(attribute.content)
    if (id === undefined || values === undefined || objectIdText(id.content) !== EXTENSION_REQUEST) continue
    for (const item of readChildren(readElement(values.content).content)) {
      const parts = readChildren(item.content)
      const [extensionId] = parts
      const value = parts.at(-1)
      if (
        extensionId === undefined ||
        value === undefined ||
        objectIdText(extensionId.content) !== extensionIds.subjectAltName
      )
        continue
      return readChildren(readElement(value.content).content).map(nameOf)
    }
  }
  return []
}

function nameOf({ tag, content }: Element): Identifier {
  if (tag === 0x82) return { type: 'dns', value: content.toString('latin1').toLowerCase() }
  if (tag === 0x87) return { type: 'ip', value: addressText(content) }
  throw bad('CSR contains a subject alternative name that is no DNS name or IP address')
}

function bad(detail: string): AcmeProblem {
  return new AcmeProblem('badCSR', detail)
}
