import { createHash, createPublicKey, type KeyObject, randomBytes } from 'node:crypto'
import {
  bitString,
  bitStringBytes,
  integerContent,
  objectId,
  octetString,
  readChildren,
  readElement,
  sequence,
  tlv,
} from './der.ts'
import type { IssueFault } from './faults.ts'
import {
  authorityKeyId,
  distinguishedName,
  extension,
  extensionIds,
  generateKey,
  type Hierarchy,
  keyIdOf,
  signCertificate,
  spkiOf,
  toPem,
} from './hierarchy.ts'
import type { Identifier } from './identifier.ts'
import { addressBytes } from './identifiers.ts'

/** What to put into a leaf. */
export type LeafRequest = {
  readonly identifiers: readonly Identifier[]
  readonly commonName: string | null
  readonly spki: Buffer
  readonly publicKey: KeyObject
  readonly notBefore: number
  readonly notAfter: number
  readonly fault: IssueFault | null
}

/** A signed leaf with its chains, the default one first. */
export type Leaf = {
  readonly der: Buffer
  readonly serial: string
  readonly certId: string
  readonly fingerprint: string
  readonly publicKey: KeyObject
  readonly chains: readonly string[]
}

const CLOCK_FAULT_MS = 48 * 3_600_000

/** Signs a server certificate as the Baseline Requirements shape one, and spoils it where a fault says so. */
export function issueLeaf(hierarchy: Hierarchy, request: LeafRequest): Leaf {
  const { fault } = request
  const kind = fault?.kind ?? null
  const serial = randomBytes(16)
  const spki = kind === 'other-key' ? spkiOf(generateKey()) : request.spki
  const identifiers = kind === 'missing-name' ? withoutOne(request.identifiers) : request.identifiers
  const shiftMs = kind === 'future-not-before' ? (fault?.shiftMs ?? CLOCK_FAULT_MS) : 0
  const der = signCertificate({
    serial,
    issuer: hierarchy.intermediate,
    subject: distinguishedName(request.commonName),
    notBefore: request.notBefore + shiftMs,
    notAfter: request.notAfter + shiftMs,
    spki,
    extensions: extensionsOf(hierarchy, { ...request, spki, identifiers }),
  })
  const above =
    kind === 'expired-chain'
      ? hierarchy.expired
      : kind === 'wrong-intermediate'
        ? hierarchy.stranger
        : hierarchy.intermediate
  const leafPem = toPem(der)
  return {
    der,
    serial: integerContent(serial).toString('hex'),
    certId: `${hierarchy.intermediate.keyId.toString('base64url')}.${integerContent(serial).toString('base64url')}`,
    fingerprint: createHash('sha256').update(der).digest('hex'),
    publicKey: spki === request.spki ? request.publicKey : createPublicKey({ key: spki, format: 'der', type: 'spki' }),
    chains: [`${leafPem}\n${above.pem}`, `${leafPem}\n${hierarchy.crossSigned.pem}`],
  }
}

function extensionsOf(hierarchy: Hierarchy, request: LeafRequest): Buffer[] {
  const [algorithm, keyBits] = readChildren(readElement(request.spki).content)
  const isRsa = algorithm?.content.includes(objectId('1.2.840.113549.1.1.1')) === true
  const names = request.identifiers.map(({ type, value }) =>
    type === 'ip' ? tlv(0x87, addressBytes(value)) : tlv(0x82, Buffer.from(value)),
  )
  return [
    // digitalSignature, and keyEncipherment for RSA key exchange.
    extension(
      extensionIds.keyUsage,
      true,
      isRsa ? bitString(Buffer.from([0b1010_0000]), 5) : bitString(Buffer.from([0b1000_0000]), 7),
    ),
    extension(extensionIds.extendedKeyUsage, false, sequence(objectId('1.3.6.1.5.5.7.3.1'))),
    extension(extensionIds.basicConstraints, true, sequence()),
    extension(extensionIds.subjectKeyId, false, octetString(keyIdOf(bitStringBytes(keyBits)))),
    authorityKeyId(hierarchy.intermediate.keyId),
    // Domain validated (Baseline Requirements section 7.1.6.1).
    extension(extensionIds.certificatePolicies, false, sequence(sequence(objectId('2.23.140.1.2.1')))),
    // Critical where the subject is empty (RFC 5280 section 4.2.1.6).
    extension(extensionIds.subjectAltName, request.commonName === null, sequence(...names)),
  ]
}

/** Without the last name; another one instead where that was the only one. */
function withoutOne(identifiers: readonly Identifier[]): readonly Identifier[] {
  return identifiers.length > 1 ? identifiers.slice(0, -1) : [{ type: 'dns', value: 'another.invalid' }]
}
