import { deriveKey, seal, UnsealError, unseal } from '../contract/sealing.ts'
import { type Keyring, MasterKeyError, vaultOf } from './vault.ts'

/**
 * The key ring as it is kept: each key wrapped under the master key, and under the one that is coming while
 * `nameplate rekey` is under way (docs/adr/0020). Pure: what reads and writes the rows is elsewhere.
 */

const CHECK_CONTEXT = 'master-key-check'
const KNOWN_TEXT = 'nameplate'
const KEY_BYTES = 32

/** Channel on which a change of the keys is announced; the payload is empty. */
export const KEYRING_CHANNEL = 'nameplate_keys'

/**
 * First number of the advisory locks of the key ring; the second is a version. Each process that seals holds the
 * shared lock of the version that it has, so that whoever gets the exclusive one knows that nobody has it any more.
 */
export const KEYRING_LOCK = 7_283_003

/** One key of the ring. What is gone has no `wrapped`. */
export type WrappedKey = {
  readonly id: number
  readonly state: 'coming' | 'current' | 'leaving' | 'gone'
  readonly wrapped: Uint8Array | null
  readonly wrappedNext: Uint8Array | null
}

/** All that the database holds of the key ring. */
export type KeyringRows = {
  readonly version: number
  readonly masterKeyCheck: Uint8Array
  readonly nextMasterKeyCheck: Uint8Array | null
  readonly keys: readonly WrappedKey[]
  readonly retired: readonly { readonly keyId: number; readonly label: string; readonly secretSealed: Uint8Array }[]
}

/** Runs one statement of SQL; what pg's clients do. */
export type Query = {
  query<R extends object>(sql: string, values?: unknown[]): Promise<{ rows: R[]; rowCount: number | null }>
}

/** A known text sealed under a master key: tells a wrong key from a damaged database. */
export function masterKeyCheckOf(masterKey: Uint8Array): Buffer {
  return seal(deriveKey(masterKey, 'seal'), Buffer.from(KNOWN_TEXT), CHECK_CONTEXT)
}

/** Whether a check was made with this master key. */
export function isKeyOf(masterKey: Uint8Array, check: Uint8Array | null): boolean {
  return check !== null && opened(deriveKey(masterKey, 'seal'), check, CHECK_CONTEXT) !== null
}

/** Wraps a key of the ring under a master key. */
export function wrapKey(masterKey: Uint8Array, id: number, key: Uint8Array): Buffer {
  return seal(deriveKey(masterKey, 'wrap'), key, `vault-key:${id}`)
}

/** Context under which a secret of a key that is gone is sealed. */
export function retiredContext(keyId: number, label: string): string {
  return `vault-retired:${keyId}:${label}`
}

/** Whether one of these is the master key of the database now, or the one that is coming. */
export function fits(rows: KeyringRows, masterKeys: readonly Uint8Array[]): boolean {
  return masterKeys.some((key) => isKeyOf(key, rows.masterKeyCheck) || isKeyOf(key, rows.nextMasterKeyCheck))
}

/**
 * Opens the ring with the master keys at hand and what `known` holds of it already: a process that runs while the
 * master key is changed goes on. Throws `MasterKeyError` when a key of the ring does not open.
 */
export function openKeyring(rows: KeyringRows, masterKeys: readonly Uint8Array[], known?: Keyring): Keyring {
  const keys = new Map<number, Uint8Array>()
  for (const row of rows.keys.filter(({ state }) => state !== 'gone')) {
    const key = known?.keys.get(row.id) ?? unwrapped(row, masterKeys)
    if (key === null || key === undefined)
      throw new MasterKeyError(
        'NAMEPLATE_MASTER_KEY_FILE: this master key is not the one that this database was made with; restore the key from your backup, or name the right DATABASE_URL',
      )
    keys.set(row.id, key)
  }
  const current = rows.keys.find(({ state }) => state === 'current')?.id
  if (current === undefined) throw new Error('the key ring has no current key')
  const vault = vaultOf(() => ({ current, keys, retired: new Map() }))
  const retired = new Map<string, Buffer[]>()
  for (const { keyId, label, secretSealed } of rows.retired) {
    const secret = vault.unseal(secretSealed, retiredContext(keyId, label))
    retired.set(label, [...(retired.get(label) ?? []), secret])
  }
  return { current, keys, retired }
}

function unwrapped({ id, wrapped, wrappedNext }: WrappedKey, masterKeys: readonly Uint8Array[]): Buffer | null {
  for (const masterKey of masterKeys) {
    for (const box of [wrapped, wrappedNext]) {
      const key = box === null ? null : opened(deriveKey(masterKey, 'wrap'), box, `vault-key:${id}`)
      if (key?.length === KEY_BYTES) return key
    }
  }
  return null
}

function opened(key: Uint8Array, box: Uint8Array, context: string): Buffer | null {
  try {
    return unseal(key, box, context)
  } catch (error) {
    if (error instanceof UnsealError) return null
    throw error
  }
}

/** Reads the ring as of one moment; null in a database that was never started. */
export async function readKeyring(db: Query): Promise<KeyringRows | null> {
  const { rows } = await db.query<RawRing>(`
    select keyring_version as version, master_key_check as "masterKeyCheck", next_master_key_check as "nextMasterKeyCheck",
      (select json_agg(json_build_object('id', id, 'state', state, 'wrapped', encode(wrapped, 'hex'),
        'wrappedNext', encode(wrapped_next, 'hex')) order by id) from vault_key) as keys,
      (select json_agg(json_build_object('keyId', key_id, 'label', label, 'secretSealed', encode(secret_sealed, 'hex'))
        order by key_id desc) from vault_retired where expires_at > now()) as retired
      from installation where id = 1`)
  const [row] = rows
  if (row === undefined) return null
  return {
    ...row,
    keys: (row.keys ?? []).map((key) => ({
      ...key,
      wrapped: fromHex(key.wrapped),
      wrappedNext: fromHex(key.wrappedNext),
    })),
    retired: (row.retired ?? []).map((one) => ({ ...one, secretSealed: Buffer.from(one.secretSealed, 'hex') })),
  }
}

type RawRing = Pick<KeyringRows, 'version' | 'masterKeyCheck' | 'nextMasterKeyCheck'> & {
  keys: { id: number; state: WrappedKey['state']; wrapped: string | null; wrappedNext: string | null }[] | null
  retired: { keyId: number; label: string; secretSealed: string }[] | null
}

function fromHex(text: string | null): Buffer | null {
  return text === null ? null : Buffer.from(text, 'hex')
}
