import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { deriveKey, seal, unseal } from '../contract/sealing.ts'
import { OperatorError } from '../process/operator-error.ts'

const KEY_BYTES = 32

/** The master key is missing, unreadable or not the one of this database. `message` says what to do. */
export class MasterKeyError extends OperatorError {
  override name = 'MasterKeyError'
}

/** Seals and opens what is secret at rest. The master key itself is never handed out. */
export type Vault = {
  /** Seals `plain`; `context` says what and whose it is, e.g. `certificate-key:<id>`. */
  seal(plain: Uint8Array | string, context: string): Uint8Array<ArrayBuffer>
  /** Opens what `seal` made with the same context. Throws `UnsealError`. */
  unseal(sealed: Uint8Array, context: string): Buffer
  /** A key for one purpose, the same on every replica: `jwt`, `ticket`. */
  derive(label: string): Buffer
}

/** Makes the vault of a 32-byte master key. */
export function createVault(masterKey: Uint8Array): Vault {
  const sealingKey = deriveKey(masterKey, 'seal')
  return {
    seal: (plain, context) => new Uint8Array(seal(sealingKey, Buffer.from(plain as Uint8Array), context)),
    unseal: (sealed, context) => unseal(sealingKey, sealed, context),
    derive: (label) => deriveKey(masterKey, label),
  }
}

/**
 * Reads the master key: 32 raw bytes, or 64 hex digits. When the file is not there it is made,
 * unless `mayCreate` is false (a database that has secrets already needs the key it was made with).
 * Throws `MasterKeyError`.
 */
export function loadMasterKey(file: string, mayCreate: boolean): Buffer {
  try {
    return parseKey(readFileSync(file), file)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw wrap(file, cause)
    if (!mayCreate) {
      throw new MasterKeyError(
        `NAMEPLATE_MASTER_KEY_FILE: ${file}: the master key is missing, and this database was made with one: restore it from your backup`,
      )
    }
  }
  try {
    return createKey(file)
  } catch (cause) {
    throw wrap(file, cause)
  }
}

/** Written aside, synced and linked into place: a crash leaves no half key, two starts agree on one. */
function createKey(file: string): Buffer {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const draft = `${file}.${process.pid}`
  const fd = openSync(draft, 'wx', 0o600)
  try {
    writeSync(fd, randomBytes(KEY_BYTES))
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  try {
    linkSync(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    unlinkSync(draft)
  }
  return parseKey(readFileSync(file), file)
}

function parseKey(bytes: Buffer, file: string): Buffer {
  if (bytes.length === KEY_BYTES) return bytes
  const text = bytes.toString('latin1').trim()
  if (/^[0-9a-fA-F]{64}$/.test(text)) return Buffer.from(text, 'hex')
  throw new MasterKeyError(
    `NAMEPLATE_MASTER_KEY_FILE: ${file}: a master key is 32 bytes or 64 hex digits; this file has ${bytes.length} bytes`,
  )
}

function wrap(file: string, cause: unknown): MasterKeyError {
  if (cause instanceof MasterKeyError) return cause
  return new MasterKeyError(
    `NAMEPLATE_MASTER_KEY_FILE: ${file}: the master key cannot be read or made (${(cause as Error).message})`,
    { cause },
  )
}
