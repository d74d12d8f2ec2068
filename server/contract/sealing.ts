import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto'

/** First byte of everything sealed: the format, so that it can change. */
const VERSION_SECRET = 1
const VERSION_PUBLIC = 2
const NONCE_BYTES = 12
const TAG_BYTES = 16
const KEY_BYTES = 32

/** DER heads of an X25519 key (RFC 8410): SPKI and PKCS#8 are these plus the 32 raw bytes. */
const SPKI_HEAD = Buffer.from('302a300506032b656e032100', 'hex')
const PKCS8_HEAD = Buffer.from('302e020100300506032b656e04220420', 'hex')

/** Sealed text could not be opened: another key, another context, or damaged bytes. */
export class UnsealError extends Error {
  override name = 'UnsealError'
}

/**
 * Seals under a 32-byte key with AES-256-GCM and a random nonce. `context` (what and whose it is) is
 * authenticated, so that a sealed value cannot be moved to another row.
 */
export function seal(key: Uint8Array, plain: Uint8Array, context: string): Buffer {
  return Buffer.concat([Buffer.of(VERSION_SECRET), encrypt(key, plain, context)])
}

/** Opens what `seal` made. Throws `UnsealError`. */
export function unseal(key: Uint8Array, sealed: Uint8Array, context: string): Buffer {
  if (sealed[0] !== VERSION_SECRET) throw new UnsealError('unknown format of a sealed value')
  return decrypt(key, sealed.subarray(1), context)
}

/** A 32-byte key for one purpose, derived from a secret (HKDF-SHA-256, RFC 5869), one label each. */
export function deriveKey(secret: Uint8Array, label: string, bytes = KEY_BYTES): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', `nameplate ${label}`, bytes))
}

/** An X25519 key pair as raw 32-byte values. */
export type SealKeyPair = { readonly publicKey: Buffer; readonly privateKey: Buffer }

/** Makes the key pair of an edge. */
export function generateSealKeyPair(): SealKeyPair {
  const pair = generateKeyPairSync('x25519')
  return { publicKey: rawPublic(pair.publicKey), privateKey: rawPrivate(pair.privateKey) }
}

/**
 * Seals to an edge's public key: an ephemeral X25519 exchange, HKDF over it and both public keys,
 * AES-256-GCM. Whoever seals cannot open it again.
 */
export function sealTo(publicKey: Uint8Array, plain: Uint8Array, context: string): Buffer {
  const ephemeral = generateKeyPairSync('x25519')
  const own = rawPublic(ephemeral.publicKey)
  const key = exchange(ephemeral.privateKey, publicObject(publicKey), own, publicKey)
  return Buffer.concat([Buffer.of(VERSION_PUBLIC), own, encrypt(key, plain, context)])
}

/** Opens what `sealTo` made. Throws `UnsealError`. */
export function unsealFrom(pair: SealKeyPair, sealed: Uint8Array, context: string): Buffer {
  if (sealed[0] !== VERSION_PUBLIC || sealed.length < 1 + KEY_BYTES)
    throw new UnsealError('unknown format of a sealed value')
  const peer = sealed.subarray(1, 1 + KEY_BYTES)
  const key = exchange(privateObject(pair.privateKey), publicObject(peer), peer, pair.publicKey)
  return decrypt(key, sealed.subarray(1 + KEY_BYTES), context)
}

function encrypt(key: Uint8Array, plain: Uint8Array, context: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(Buffer.from(context))
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

function decrypt(key: Uint8Array, box: Uint8Array, context: string): Buffer {
  if (box.length < NONCE_BYTES + TAG_BYTES) throw new UnsealError('a sealed value is too short')
  const decipher = createDecipheriv('aes-256-gcm', key, box.subarray(0, NONCE_BYTES))
  decipher.setAAD(Buffer.from(context))
  decipher.setAuthTag(box.subarray(box.length - TAG_BYTES))
  try {
    return Buffer.concat([decipher.update(box.subarray(NONCE_BYTES, box.length - TAG_BYTES)), decipher.final()])
  } catch (cause) {
    throw new UnsealError(`a sealed value does not open (${context}): another key or damaged`, { cause })
  }
}

function exchange(privateKey: KeyObject, publicKey: KeyObject, ephemeral: Uint8Array, recipient: Uint8Array): Buffer {
  const shared = diffieHellman({ privateKey, publicKey })
  return Buffer.from(
    hkdfSync('sha256', shared, Buffer.concat([ephemeral, recipient]), 'nameplate sealed box', KEY_BYTES),
  )
}

function rawPublic(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' }).subarray(SPKI_HEAD.length)
}

function rawPrivate(key: KeyObject): Buffer {
  return key.export({ type: 'pkcs8', format: 'der' }).subarray(PKCS8_HEAD.length)
}

function publicObject(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI_HEAD, raw]), format: 'der', type: 'spki' })
}

function privateObject(raw: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, raw]), format: 'der', type: 'pkcs8' })
}
