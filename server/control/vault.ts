import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { deriveKey, seal, UnsealError, unseal } from '../contract/sealing.ts'
import { OperatorError } from '../process/operator-error.ts'

const KEY_BYTES = 32

/** The master key is missing, unreadable or not the one of this database. `message` says what to do. */
export class MasterKeyError extends OperatorError {
  override name = 'MasterKeyError'
}

/** The number of the first key of an installation; what was sealed before keys had numbers is of this one. */
export const FIRST_KEY = 1

/** First byte of what a vault seals; the number of the key (32 bits, big-endian) and what `seal` made follow. */
const VERSION_NUMBERED = 3
const HEAD_BYTES = 5

/** Sealed under a key that this process does not have: not learnt yet, or gone. */
export class UnknownKeyError extends UnsealError {
  override name = 'UnknownKeyError'
}

/** Seals and opens what is secret at rest. Keys themselves are never handed out, only what is derived from them. */
export type Vault = {
  /** Seals `plain` under the current key; `context` says what and whose it is, e.g. `certificate-key:<id>`. */
  seal(plain: Uint8Array | string, context: string): Uint8Array<ArrayBuffer>
  /** Opens what `seal` made with the same context. Throws `UnsealError`; `UnknownKeyError` for a key that is not here. */
  unseal(sealed: Uint8Array, context: string): Buffer
  /** A secret for one purpose, the same on every replica: of the current key, or of that number (`UnknownKeyError`). */
  derive(label: string, keyId?: number): Buffer
  /** What `derive` gives now, then what it gave before and is still accepted. A change of keys changes it: ask each time. */
  deriveAll(label: string): readonly Buffer[]
}

/** The keys that a vault works with; each 32 bytes. */
export type Keyring = {
  readonly current: number
  readonly keys: ReadonlyMap<number, Uint8Array>
  /** Derived from keys that are gone and still accepted, by label. */
  readonly retired: ReadonlyMap<string, readonly Buffer[]>
}

/** Makes the vault of one 32-byte key that never changes. */
export function createVault(key: Uint8Array): Vault {
  const keyring: Keyring = { current: FIRST_KEY, keys: new Map([[FIRST_KEY, key]]), retired: new Map() }
  return vaultOf(() => keyring)
}

/** Makes the vault of a key ring that may be replaced while it is used. */
export function vaultOf(keyring: () => Keyring): Vault {
  const keyOf = (id: number): Uint8Array => {
    const key = keyring().keys.get(id)
    if (key === undefined) throw new UnknownKeyError(`there is no key ${id} here`)
    return key
  }
  return {
    seal(plain, context) {
      const id = keyring().current
      const sealed = seal(deriveKey(keyOf(id), 'seal'), Buffer.from(plain as Uint8Array), context)
      const bytes = new Uint8Array(HEAD_BYTES + sealed.length)
      bytes[0] = VERSION_NUMBERED
      new DataView(bytes.buffer).setUint32(1, id)
      bytes.set(sealed, HEAD_BYTES)
      return bytes
    },
    unseal(sealed, context) {
      const isNumbered = sealed[0] === VERSION_NUMBERED && sealed.length > HEAD_BYTES
      const id = isNumbered ? Buffer.from(sealed).readUInt32BE(1) : FIRST_KEY
      return unseal(deriveKey(keyOf(id), 'seal'), isNumbered ? sealed.subarray(HEAD_BYTES) : sealed, context)
    },
    derive: (label, keyId) => deriveKey(keyOf(keyId ?? keyring().current), label),
    deriveAll(label) {
      const { current, keys, retired } = keyring()
      const others = [...keys.keys()].filter((id) => id !== current)
      return [...[current, ...others].map((id) => deriveKey(keyOf(id), label)), ...(retired.get(label) ?? [])]
    },
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
