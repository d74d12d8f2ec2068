import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import type { Logger } from '../process/log.ts'
import { createSleeper } from '../process/sleeper.ts'
import {
  fits,
  KEYRING_CHANNEL,
  KEYRING_LOCK,
  type KeyringRows,
  masterKeyCheckOf,
  openKeyring,
  type Query,
  readKeyring,
  wrapKey,
} from './keyring.ts'
import { FIRST_KEY, type Keyring, loadMasterKey, MasterKeyError, type Vault, vaultOf } from './vault.ts'

const KEY_BYTES = 32
/** Longest time until a change of the keys is seen whose notification was lost. */
const INTERVAL_MS = 1_000
const CONNECT_TIMEOUT_MS = 5_000

/** A vault whose keys follow the database; `close` ends that. */
export type OpenVault = { readonly vault: Vault; close(): Promise<void> }

/** Where the keys are. */
export type VaultPlace = { readonly databaseUrl: string; readonly masterKeyFile: string }

/**
 * Makes the rows that say what this database is, or checks that the master key is the one it was made with, and
 * opens its keys. Replicas may start together. A database of a version without a ring gets one whose first key is
 * the master key itself, so that all that is sealed opens. Throws `MasterKeyError`.
 */
export async function ensureKeyring(db: Query, masterKeyFile: string): Promise<Keyring> {
  const before = await readKeyring(db)
  const masterKey = loadMasterKey(masterKeyFile, before === null)
  if (before === null || before.keys.length === 0) {
    await db.query('begin')
    try {
      const { rowCount } = await db.query(
        'insert into installation (id, feed_id, master_key_check) values (1, $1, $2) on conflict (id) do nothing',
        [randomUUID(), masterKeyCheckOf(masterKey)],
      )
      const rows = await readKeyring(db)
      if (rows !== null && rows.keys.length === 0 && fits(rows, [masterKey])) {
        const key = rowCount === 1 ? randomBytes(KEY_BYTES) : masterKey
        await db.query("insert into vault_key (id, state, wrapped) values ($1, 'current', $2) on conflict do nothing", [
          FIRST_KEY,
          wrapKey(masterKey, FIRST_KEY, key),
        ])
      }
      await db.query('commit')
    } catch (error) {
      await db.query('rollback').catch(() => undefined)
      throw error
    }
  }
  return openKeyring(await mustRead(db), [masterKey])
}

/**
 * Opens the vault of a control plane: as `ensureKeyring`, then follows what `nameplate rekey` changes, on a
 * connection of its own. Throws `MasterKeyError`.
 */
export async function openVault({ databaseUrl, masterKeyFile, log }: VaultPlace & { log: Logger }): Promise<OpenVault> {
  const abort = new AbortController()
  const sleeper = createSleeper(abort.signal)
  const masterKeys: Buffer[] = []
  let keyring: Keyring
  let client = await connect(databaseUrl, sleeper.wake)
  let held: number | null = null

  const learn = async (): Promise<void> => {
    const rows = await mustRead(client)
    if (rows.version === held) return
    // Before the lock: who cannot open the new ring keeps the lock of the old one, and so holds the change up.
    adopt(rows)
    await client.query('select pg_advisory_lock_shared($1, $2)', [KEYRING_LOCK, rows.version])
    const isNew = (await mustRead(client)).version === rows.version
    const passed = isNew ? held : rows.version
    if (isNew) held = rows.version
    if (passed !== null) await client.query('select pg_advisory_unlock_shared($1, $2)', [KEYRING_LOCK, passed])
    if (!isNew) await learn()
  }
  const adopt = (rows: KeyringRows): void => {
    if (!fits(rows, masterKeys)) {
      const onDisk = loadMasterKey(masterKeyFile, false)
      if (fits(rows, [onDisk])) masterKeys.unshift(onDisk)
      else log.warn('the master key was changed: put the new one at NAMEPLATE_MASTER_KEY_FILE before the next start')
    }
    keyring = openKeyring(rows, masterKeys, keyring)
  }
  const failed = async (error: unknown): Promise<void> => {
    log.warn({ err: error }, 'the keys cannot be followed now; trying again')
    if (!(error instanceof MasterKeyError)) {
      await client.end().catch(() => undefined)
      held = null
    }
    await pause(INTERVAL_MS, undefined, { signal: abort.signal }).catch(() => undefined)
  }
  const step = async (): Promise<void> => {
    if (held === null) client = await connect(databaseUrl, sleeper.wake)
    await learn()
    await sleeper.sleep(INTERVAL_MS)
  }
  const follow = async (): Promise<void> => {
    while (!abort.signal.aborted) {
      sleeper.begin()
      await step().catch((error: unknown) => (abort.signal.aborted ? undefined : failed(error)))
    }
  }

  try {
    keyring = await ensureKeyring(client, masterKeyFile)
    masterKeys.push(loadMasterKey(masterKeyFile, false))
    await learn()
  } catch (error) {
    await client.end().catch(() => undefined)
    throw error
  }
  const following = follow()
  return {
    vault: vaultOf(() => keyring),
    async close() {
      abort.abort()
      await following
      await client.end().catch(() => undefined)
    },
  }
}

async function mustRead(db: Query): Promise<KeyringRows> {
  const rows = await readKeyring(db)
  if (rows === null) throw new Error('the database has no installation row')
  return rows
}

async function connect(databaseUrl: string, wake: () => void): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    keepAlive: true,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'nameplate keys',
  })
  client.on('error', wake)
  client.on('notification', wake)
  await client.connect()
  await client.query(`listen ${KEYRING_CHANNEL}`)
  return client
}
