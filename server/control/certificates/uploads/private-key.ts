import { createPrivateKey, type KeyObject } from 'node:crypto'
import { DerError, readDer } from './der.ts'
import { openEncryptedKey, PasswordCipherError } from './password-cipher.ts'
import type { PemBlock } from './pem.ts'

/** Why a key cannot be used; `field` names what to change. `message` never holds the key. */
export class PrivateKeyError extends Error {
  override name = 'PrivateKeyError'
  readonly field: 'privateKeyPem' | 'keyPassphrase'

  constructor(field: 'privateKeyPem' | 'keyPassphrase', message: string) {
    super(message)
    this.field = field
  }
}

const LABELS = new Set(['PRIVATE KEY', 'RSA PRIVATE KEY', 'EC PRIVATE KEY', 'ENCRYPTED PRIVATE KEY'])

/** Whether a block is a private key of any kind, also one that is refused. */
export function isPrivateKey({ label }: PemBlock): boolean {
  return label.endsWith('PRIVATE KEY')
}

/**
 * Reads a private key: PKCS#8, PKCS#1, SEC 1; protected ones with their passphrase. What protects it is opened
 * here, so that a file cannot ask for hours of key derivation. Throws `PrivateKeyError`.
 */
export async function readPrivateKey(block: PemBlock, passphrase: string | undefined): Promise<KeyObject> {
  if (!LABELS.has(block.label))
    throw new PrivateKeyError('privateKeyPem', `A "${block.label}" is not a key of a certificate.`)
  const isProtected = block.isProtected || block.label === 'ENCRYPTED PRIVATE KEY'
  if (!isProtected) return parse(() => createPrivateKey(block.pem))
  if (passphrase === undefined)
    throw new PrivateKeyError(
      'privateKeyPem',
      'The key is protected by a passphrase: send it as keyPassphrase, or remove it first (openssl pkey -in key.pem).',
    )
  if (block.isProtected)
    return parse(() => createPrivateKey({ key: block.pem, passphrase }), 'keyPassphrase', 'The passphrase is wrong.')
  return openProtected(block, passphrase)
}

/** Reads a key in DER: PrivateKeyInfo as PKCS#12 files hold it. Throws `PrivateKeyError`. */
export function readPrivateKeyInfo(der: Buffer): KeyObject {
  return parse(() => createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }))
}

async function openProtected(block: PemBlock, passphrase: string): Promise<KeyObject> {
  try {
    return readPrivateKeyInfo(await openEncryptedKey(readDer(block.der), passphrase))
  } catch (error) {
    if (error instanceof PrivateKeyError) throw new PrivateKeyError('keyPassphrase', 'The passphrase is wrong.')
    if (error instanceof DerError) throw new PrivateKeyError('privateKeyPem', `The key is broken: ${error.message}.`)
    if (!(error instanceof PasswordCipherError)) throw error
    const isWrong = error.message.startsWith('the password')
    if (isWrong) throw new PrivateKeyError('keyPassphrase', 'The passphrase is wrong.')
    throw new PrivateKeyError('privateKeyPem', `The key could not be opened: ${error.message}.`)
  }
}

function parse(
  read: () => KeyObject,
  field: PrivateKeyError['field'] = 'privateKeyPem',
  message = 'This is not a private key that can be read.',
): KeyObject {
  try {
    return read()
  } catch {
    // The library's error is left out on purpose: what it says of a key belongs into no log.
    throw new PrivateKeyError(field, message)
  }
}
