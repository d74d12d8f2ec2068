import { createHmac, timingSafeEqual } from 'node:crypto'
import { DerError, type DerNode, encodingOf, integerOf, itemsOf, octetsOf, oidOf, readDer } from './der.ts'
import { derivePkcs12, openByPassword, openEncryptedKey, PasswordCipherError } from './password-cipher.ts'

const DATA = '1.2.840.113549.1.7.1'
const ENCRYPTED_DATA = '1.2.840.113549.1.7.6'
const KEY_BAG = '1.2.840.113549.1.12.10.1.1'
const SHROUDED_KEY_BAG = '1.2.840.113549.1.12.10.1.2'
const CERTIFICATE_BAG = '1.2.840.113549.1.12.10.1.3'
const NESTED_BAG = '1.2.840.113549.1.12.10.1.6'
const X509_CERTIFICATE = '1.2.840.113549.1.9.22.1'
const PBMAC1 = '1.2.840.113549.1.5.14'
/** More parts and bags than any export has. */
const MAX_BAGS = 100

const digests: Readonly<Record<string, { readonly name: string; readonly bytes: number }>> = {
  '1.3.14.3.2.26': { name: 'sha1', bytes: 20 },
  '2.16.840.1.101.3.4.2.4': { name: 'sha224', bytes: 28 },
  '2.16.840.1.101.3.4.2.1': { name: 'sha256', bytes: 32 },
  '2.16.840.1.101.3.4.2.2': { name: 'sha384', bytes: 48 },
  '2.16.840.1.101.3.4.2.3': { name: 'sha512', bytes: 64 },
}

/** A PKCS#12 file that cannot be used. `field` is `password` or `pkcs12Base64`; `message` is for people. */
export class Pkcs12Error extends Error {
  override name = 'Pkcs12Error'
  readonly field: 'pkcs12Base64' | 'password'

  constructor(field: 'pkcs12Base64' | 'password', message: string) {
    super(message)
    this.field = field
  }
}

/** What a file holds, each in DER. Keys are PrivateKeyInfo (PKCS#8), opened. */
export type Pkcs12Content = { readonly certificates: readonly Buffer[]; readonly keys: readonly Buffer[] }

/**
 * Reads a PKCS#12 file (RFC 7292): its MAC is checked, then what the password protects is opened; modern
 * files (PBES2 with AES) as well as old ones (3DES, RC2). Throws `Pkcs12Error`.
 */
export async function readPkcs12(file: Buffer, password: string): Promise<Pkcs12Content> {
  try {
    const [, authSafe, macData] = itemsOf(readDer(file))
    const content = contentOf(authSafe, DATA)
    if (macData !== undefined) await checkMac(macData, content, password)
    const certificates: Buffer[] = []
    const keys: Buffer[] = []
    const parts = itemsOf(readDer(content))
    if (parts.length > MAX_BAGS) throw new DerError('there are too many parts')
    for (const part of parts) await readBags(await openPart(part, password), password, { certificates, keys })
    return { certificates, keys }
  } catch (error) {
    if (error instanceof DerError)
      throw new Pkcs12Error('pkcs12Base64', `This is not a PKCS#12 file that can be read: ${error.message}.`)
    if (!(error instanceof PasswordCipherError)) throw error
    const field = error.message.startsWith('the password') ? 'password' : 'pkcs12Base64'
    throw new Pkcs12Error(field, `The file could not be opened: ${error.message}.`)
  }
}

/** RFC 7292 section 5.1: the MAC tells a wrong password before anything is deciphered. */
async function checkMac(macData: DerNode, content: Buffer, password: string): Promise<void> {
  const [digestInfo, salt, roundsNode] = itemsOf(macData)
  const [algorithm, expected] = itemsOf(digestInfo)
  const oid = oidOf(itemsOf(algorithm)[0])
  const digest = digests[oid]
  if (digest === undefined) {
    const what = oid === PBMAC1 ? 'PBMAC1 (export it with the option -macalg sha256 instead)' : oid
    throw new PasswordCipherError(`its integrity check uses ${what}, which is not read here`)
  }
  const rounds = roundsNode === undefined ? 1 : integerOf(roundsNode)
  const key = await derivePkcs12(digest.name, 3, digest.bytes, password, octetsOf(salt), rounds)
  const actual = createHmac(digest.name, key).update(content).digest()
  const wanted = octetsOf(expected)
  if (wanted.length !== actual.length || !timingSafeEqual(wanted, actual))
    throw new PasswordCipherError('the password is wrong')
}

/** The SafeContents of one part of the file. */
async function openPart(part: DerNode, password: string): Promise<Buffer> {
  const [type] = itemsOf(part)
  if (oidOf(type) === DATA) return contentOf(part, DATA)
  if (oidOf(type) !== ENCRYPTED_DATA)
    throw new PasswordCipherError('a part of it is protected by a public key, not by a password')
  const [, encrypted] = itemsOf(itemsOf(itemsOf(part)[1])[0])
  const [, algorithm, data] = itemsOf(encrypted)
  return openByPassword(algorithm, octetsOf(data), password)
}

async function readBags(
  contents: Buffer,
  password: string,
  into: { readonly certificates: Buffer[]; readonly keys: Buffer[] },
): Promise<void> {
  for (const bag of itemsOf(readDer(contents))) {
    const [type, tagged] = itemsOf(bag)
    const [value] = itemsOf(tagged)
    if (value === undefined) throw new DerError('a bag is empty')
    if (into.certificates.length + into.keys.length >= MAX_BAGS) throw new DerError('it holds too much')
    switch (oidOf(type)) {
      case KEY_BAG:
        into.keys.push(encodingOf(value))
        break
      case SHROUDED_KEY_BAG:
        into.keys.push(await openEncryptedKey(value, password))
        break
      case CERTIFICATE_BAG:
        into.certificates.push(...certificateOf(value))
        break
      case NESTED_BAG:
        throw new DerError('bags inside bags are not read')
    }
  }
}

/** SDSI certificates, which nobody writes, are left out. */
function certificateOf(value: DerNode): Buffer[] {
  const [type, tagged] = itemsOf(value)
  return oidOf(type) === X509_CERTIFICATE ? [octetsOf(itemsOf(tagged)[0])] : []
}

/** The octets of a ContentInfo of this type. */
function contentOf(node: DerNode | undefined, type: string): Buffer {
  const [oid, tagged] = itemsOf(node)
  if (oidOf(oid) !== type) throw new DerError('it is signed by a key instead of protected by a password')
  return octetsOf(itemsOf(tagged)[0])
}
