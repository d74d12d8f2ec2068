import { createDecipheriv, hash, pbkdf2, scrypt } from 'node:crypto'
import { setImmediate as yieldTurn } from 'node:timers/promises'
import { promisify } from 'node:util'
import { DerError, type DerNode, integerOf, isInteger, itemsOf, octetsOf, oidOf } from './der.ts'
import { decipherRc2 } from './rc2.ts'

const pbkdf2Async = promisify(pbkdf2)
const scryptAsync = promisify(scrypt) as (
  password: Buffer,
  salt: Buffer,
  bytes: number,
  options: { N: number; r: number; p: number; maxmem: number },
) => Promise<Buffer>

/** More rounds than any exporter uses by itself (Java 8: 100,000; OWASP for PBKDF2: 600,000); each costs us CPU time. */
const MAX_PBKDF2_ROUNDS = 2_000_000
const MAX_PKCS12_ROUNDS = 300_000
/** After so many rounds of the old derivation, which runs here and not in the thread pool, others get their turn. */
const ROUNDS_A_TURN = 5_000
const MAX_SCRYPT_BYTES = 64 * 1_024 * 1_024

/** The password is wrong, or the cipher is not one that is read here. `message` is for people and holds no secret. */
export class PasswordCipherError extends Error {
  override name = 'PasswordCipherError'
}

/** Digests by the object identifiers of RFC 8018 appendix B.1.2 (as PRF) and NIST (as digest). */
const prfs: Readonly<Record<string, string>> = {
  '1.2.840.113549.2.7': 'sha1',
  '1.2.840.113549.2.8': 'sha224',
  '1.2.840.113549.2.9': 'sha256',
  '1.2.840.113549.2.10': 'sha384',
  '1.2.840.113549.2.11': 'sha512',
}
const DEFAULT_PRF = '1.2.840.113549.2.7'
const PBES2 = '1.2.840.113549.1.5.13'
const PBKDF2 = '1.2.840.113549.1.5.12'
const SCRYPT = '1.3.6.1.4.1.11591.4.11'

const ciphers: Readonly<Record<string, { readonly name: string; readonly keyBytes: number }>> = {
  '2.16.840.1.101.3.4.1.2': { name: 'aes-128-cbc', keyBytes: 16 },
  '2.16.840.1.101.3.4.1.22': { name: 'aes-192-cbc', keyBytes: 24 },
  '2.16.840.1.101.3.4.1.42': { name: 'aes-256-cbc', keyBytes: 32 },
  '1.2.840.113549.3.7': { name: 'des-ede3-cbc', keyBytes: 24 },
}

/** Ciphers of RFC 7292 appendix C: what Windows and OpenSSL wrote until a few years ago. */
const oldCiphers: Readonly<
  Record<string, { readonly keyBytes: number; open(key: Buffer, iv: Buffer, data: Buffer): Buffer }>
> = {
  '1.2.840.113549.1.12.1.3': { keyBytes: 24, open: openTripleDes },
  '1.2.840.113549.1.12.1.4': {
    keyBytes: 16,
    open: (key, iv, data) => openTripleDes(Buffer.concat([key, key.subarray(0, 8)]), iv, data),
  },
  '1.2.840.113549.1.12.1.5': { keyBytes: 16, open: (key, iv, data) => decipherRc2(key, 128, iv, data) },
  '1.2.840.113549.1.12.1.6': { keyBytes: 5, open: (key, iv, data) => decipherRc2(key, 40, iv, data) },
}

/**
 * Opens what a password protects, by its AlgorithmIdentifier: PBES2 (RFC 8018 section 6.2) with PBKDF2 or
 * scrypt and AES or 3DES, and the ciphers of PKCS#12 (RFC 7292 appendix C). Rounds are limited, so that a file
 * costs seconds at most. Throws `PasswordCipherError` and `DerError`.
 */
export async function openByPassword(algorithm: DerNode | undefined, data: Buffer, password: string): Promise<Buffer> {
  const [oidNode, parameters] = itemsOf(algorithm)
  const oid = oidOf(oidNode)
  const old = oldCiphers[oid]
  if (oid !== PBES2 && old === undefined) throw new PasswordCipherError(`the cipher ${oid} is not read here`)
  try {
    if (old === undefined) return await openPbes2(parameters, data, password)
    const [salt, rounds] = itemsOf(parameters)
    const key = await derivePkcs12('sha1', 1, old.keyBytes, password, octetsOf(salt), integerOf(rounds))
    const iv = await derivePkcs12('sha1', 2, 8, password, octetsOf(salt), integerOf(rounds))
    return old.open(key, iv, data)
  } catch (error) {
    if (error instanceof PasswordCipherError || error instanceof DerError) throw error
    throw new PasswordCipherError('the password is wrong')
  }
}

async function openPbes2(parameters: DerNode | undefined, data: Buffer, password: string): Promise<Buffer> {
  const [derivation, encryption] = itemsOf(parameters)
  const [cipherOid, iv] = itemsOf(encryption)
  const cipher = ciphers[oidOf(cipherOid)]
  if (cipher === undefined) throw new PasswordCipherError(`the cipher ${oidOf(cipherOid)} is not read here`)
  const key = await derivePbes2(derivation, cipher.keyBytes, Buffer.from(password, 'utf8'))
  return decipher(cipher.name, key, octetsOf(iv), data)
}

async function derivePbes2(derivation: DerNode | undefined, keyBytes: number, password: Buffer): Promise<Buffer> {
  const [oidNode, parameters] = itemsOf(derivation)
  const oid = oidOf(oidNode)
  const [salt, ...rest] = itemsOf(parameters)
  if (oid === SCRYPT) return deriveScrypt(octetsOf(salt), rest, keyBytes, password)
  if (oid !== PBKDF2) throw new PasswordCipherError(`the key derivation ${oid} is not read here`)
  const rounds = limited(integerOf(rest[0]), MAX_PBKDF2_ROUNDS)
  const prfNode = rest.slice(1).find((node) => !isInteger(node))
  const prf = prfNode === undefined ? DEFAULT_PRF : oidOf(itemsOf(prfNode)[0])
  const digest = prfs[prf]
  if (digest === undefined) throw new PasswordCipherError(`the key derivation uses ${prf}, which is not read here`)
  return pbkdf2Async(password, octetsOf(salt), rounds, keyBytes, digest)
}

/** RFC 7914 section 7. */
function deriveScrypt(salt: Buffer, rest: readonly DerNode[], keyBytes: number, password: Buffer): Promise<Buffer> {
  const [N, r, p] = [integerOf(rest[0]), integerOf(rest[1]), integerOf(rest[2])]
  if (128 * N * r > MAX_SCRYPT_BYTES || p > 4) throw new PasswordCipherError('its key derivation asks for too much')
  return scryptAsync(password, salt, keyBytes, { N, r, p, maxmem: 2 * MAX_SCRYPT_BYTES })
}

/**
 * The key derivation of PKCS#12 (RFC 7292 appendix B.2): `purpose` 1 is a key, 2 an initialization vector, 3 a
 * MAC key. Throws `PasswordCipherError` for too many rounds.
 */
export async function derivePkcs12(
  digest: string,
  purpose: 1 | 2 | 3,
  bytes: number,
  password: string,
  salt: Buffer,
  rounds: number,
): Promise<Buffer> {
  limited(rounds, MAX_PKCS12_ROUNDS)
  const blockBytes = digest === 'sha384' || digest === 'sha512' ? 128 : 64
  const diversifier = Buffer.alloc(blockBytes, purpose)
  // A BMPString with its two zero octets (appendix B.1).
  const secret = Buffer.from(`${password}\0`, 'utf16le').swap16()
  const input = Buffer.concat([repeated(salt, blockBytes), repeated(secret, blockBytes)])
  const output: Buffer[] = []
  for (let made = 0; made < bytes; ) {
    let block = hash(digest, Buffer.concat([diversifier, input]), 'buffer')
    for (let round = 1; round < rounds; round += 1) {
      block = hash(digest, block, 'buffer')
      if (round % ROUNDS_A_TURN === 0) await yieldTurn()
    }
    output.push(block)
    made += block.length
    const addend = repeated(block, blockBytes).subarray(0, blockBytes)
    for (let at = 0; at < input.length; at += blockBytes) addPlusOne(input.subarray(at, at + blockBytes), addend)
  }
  return Buffer.concat(output).subarray(0, bytes)
}

/** `bytes` over and over, up to the next multiple of the block. */
function repeated(bytes: Buffer, blockBytes: number): Buffer {
  return Buffer.alloc(Math.ceil(bytes.length / blockBytes) * blockBytes, bytes)
}

/** target = target + addend + 1, as big-endian numbers. */
function addPlusOne(target: Buffer, addend: Buffer): void {
  let carry = 1
  for (let index = target.length - 1; index >= 0; index -= 1) {
    carry += (target[index] ?? 0) + (addend[index] ?? 0)
    target[index] = carry & 255
    carry >>= 8
  }
}

function limited(rounds: number, most: number): number {
  if (rounds >= 1 && rounds <= most) return rounds
  throw new PasswordCipherError(`its key derivation has ${rounds} rounds; at most ${most} are accepted`)
}

function openTripleDes(key: Buffer, iv: Buffer, data: Buffer): Buffer {
  return decipher('des-ede3-cbc', key, iv, data)
}

function decipher(name: string, key: Buffer, iv: Buffer, data: Buffer): Buffer {
  const cipher = createDecipheriv(name, key, iv)
  return Buffer.concat([cipher.update(data), cipher.final()])
}

/** Opens an EncryptedPrivateKeyInfo (RFC 5958 section 3) and gives the PrivateKeyInfo in DER. Throws `PasswordCipherError` and `DerError`. */
export function openEncryptedKey(node: DerNode, password: string): Promise<Buffer> {
  const [algorithm, data] = itemsOf(node)
  return openByPassword(algorithm, octetsOf(data), password)
}
