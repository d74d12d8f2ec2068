import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { der, oid, pem, sequence, utcTime } from './der.ts'

/** Type of a leaf's key. */
export type KeyType = 'ecdsa' | 'rsa'

/** A certificate with its key, as a server and the edge store take it. */
export type Forged = {
  readonly names: readonly [string]
  /** Leaf and the CA that signed it. */
  readonly chainPem: string
  readonly privateKeyPem: string
  /** SHA-256 of the leaf, hex. */
  readonly fingerprint: string
  /** Hex, upper case. */
  readonly serial: string
  /** RFC 3339. */
  readonly notAfter: string
}

/** A CA that signs thousands of leaves a second: they are written as DER, with no more in them than a server needs. */
export type Forge = {
  readonly caPem: string
  /** A leaf of 90 days for one name. RSA leaves share 16 keys, since making one takes a tenth of a second. */
  issue(name: string, keyType?: KeyType): Forged
}

const DAY_MS = 86_400_000
const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'))
const RSA_KEYS = 16

/** Makes a CA with an ECDSA P-256 key of its own. */
export function createForge(): Forge {
  const ca = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const issuer = commonName('Nameplate bench CA')
  const now = Date.now()
  const build = (subject: Buffer, publicKey: KeyObject, days: number, extensions: readonly Buffer[]) => {
    const serial = Buffer.concat([Buffer.of(0x40), randomBytes(15)])
    const validity = sequence(utcTime(new Date(now - DAY_MS)), utcTime(new Date(now + days * DAY_MS)))
    const tbs = sequence(
      der(0xa0, der(0x02, Buffer.of(2))),
      der(0x02, serial),
      ECDSA_SHA256,
      issuer,
      validity,
      subject,
      publicKey.export({ type: 'spki', format: 'der' }),
      der(0xa3, sequence(...extensions)),
    )
    const signature = sign('sha256', tbs, ca.privateKey)
    return { bytes: sequence(tbs, ECDSA_SHA256, der(0x03, Buffer.of(0), signature)), serial }
  }
  const caPem = pem('CERTIFICATE', build(issuer, ca.publicKey, 3_650, [isCa()]).bytes)
  const rsaKeys: ReturnType<typeof keyPair>[] = []
  let leaves = 0
  const keysOf = (keyType: KeyType) => {
    if (keyType === 'ecdsa') return keyPair('ecdsa')
    leaves += 1
    const known = rsaKeys[leaves % RSA_KEYS]
    if (known !== undefined) return known
    const made = keyPair('rsa')
    rsaKeys[leaves % RSA_KEYS] = made
    return made
  }
  return {
    caPem,
    issue(name, keyType = 'ecdsa') {
      const keys = keysOf(keyType)
      const { bytes, serial } = build(commonName(name), keys.publicKey, 90, [alternativeName(name)])
      return {
        names: [name],
        chainPem: pem('CERTIFICATE', bytes) + caPem,
        privateKeyPem: keys.privateKeyPem,
        fingerprint: createHash('sha256').update(bytes).digest('hex'),
        serial: serial.toString('hex').toUpperCase(),
        notAfter: new Date(now + 90 * DAY_MS).toISOString(),
      }
    },
  }
}

function keyPair(keyType: KeyType) {
  const { publicKey, privateKey } =
    keyType === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2_048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { publicKey, privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
}

function commonName(text: string): Buffer {
  return sequence(der(0x31, sequence(oid('2.5.4.3'), der(0x0c, Buffer.from(text)))))
}

function isCa(): Buffer {
  const isTrue = der(0x01, Buffer.of(0xff))
  return sequence(oid('2.5.29.19'), isTrue, der(0x04, sequence(isTrue)))
}

function alternativeName(name: string): Buffer {
  return sequence(oid('2.5.29.17'), der(0x04, sequence(der(0x82, Buffer.from(name)))))
}
