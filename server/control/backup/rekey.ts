import { existsSync, rmSync } from 'node:fs'
import pg from 'pg'
import { faultPoint } from '../../process/fault-point.ts'
import { OperatorError } from '../../process/operator-error.ts'
import { isKeyOf, KEYRING_LOCK, type KeyringRows, openKeyring } from '../keyring.ts'
import { loadMasterKey, MasterKeyError, vaultOf } from '../vault.ts'
import { replaceMasterKey, requireWritableFolder } from './master-key-file.ts'
import { finish, introduce, ringOf, startOver, switchOver, untilEdgesHave, untilLearnt } from './rekey-rows.ts'
import { checkColumns, countOthers, resealAll } from './reseal.ts'

/** Second number of the lock that one change of the key at a time holds; versions of the ring are never below 0. */
const ONE_AT_A_TIME = -1

const GOING_ON = 'going on with the change that was begun'

/** What a change of the master key works with. */
export type RekeyOptions = {
  readonly databaseUrl: string
  readonly masterKeyFile: string
  /** The new key; null: one is made beside the old one. */
  readonly newKeyFile: string | null
  /** The key that the change was begun with is lost: begin it with another. */
  readonly isStartOver: boolean
  /** Told of each step. */
  readonly say: (text: string) => void
}

/**
 * Changes the master key, and with it every key that is derived or kept, while control planes and listeners run
 * (docs/adr/0020). Killed at any point, the next call goes on; until its last step both master keys open everything,
 * after it the old one opens nothing. Throws `OperatorError` with what to do. Returns where the old key is kept.
 */
export async function rekey(options: RekeyOptions): Promise<{ readonly oldFile: string }> {
  const client = new pg.Client({
    connectionString: options.databaseUrl,
    keepAlive: true,
    application_name: 'nameplate rekey',
  })
  client.on('error', () => undefined)
  await client.connect()
  try {
    const { rows } = await client.query<{ locked: boolean }>('select pg_try_advisory_lock($1, $2) as locked', [
      KEYRING_LOCK,
      ONE_AT_A_TIME,
    ])
    if (rows[0]?.locked !== true) throw new OperatorError('the master key is being changed by another command now')
    return await change(client, options)
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function change(client: pg.Client, options: RekeyOptions): Promise<{ oldFile: string }> {
  const { masterKeyFile, say } = options
  requireWritableFolder(masterKeyFile)
  await checkColumns(client)
  const before = await ringOf(client)
  const present = loadMasterKey(masterKeyFile, false)
  // Before the last step both keys open everything: killed in between, the new one may be at its place already.
  const isReplaced = before.nextMasterKeyCheck !== null && isKeyOf(present, before.nextMasterKeyCheck)
  if (!isReplaced && !isKeyOf(present, before.masterKeyCheck))
    throw new MasterKeyError(`NAMEPLATE_MASTER_KEY_FILE: ${masterKeyFile} is not the master key of this database`)
  const newKey = isReplaced ? present : newKeyOf(options, before, present)
  if (isReplaced) say(GOING_ON)
  else {
    const isBegun = before.nextMasterKeyCheck !== null
    if (!isBegun) await introduce(client, present, newKey)
    else if (!isKeyOf(newKey, before.nextMasterKeyCheck)) await startOver(client, present, newKey)
    say(isBegun ? GOING_ON : 'the new key is in the ring')
    faultPoint('rekey.begun')
  }
  await untilLearnt(client)
  await switchOver(client)
  await untilLearnt(client)
  say('every control plane seals under the new key')
  faultPoint('rekey.switched')
  const keyring = openKeyring(await ringOf(client), [newKey])
  const vault = vaultOf(() => keyring)
  const oldFile = `${masterKeyFile}.old`
  let sealed = await resealAll(client, vault, keyring.current)
  faultPoint('rekey.sealed')
  if (!(await untilEdgesHave(client, keyring.current)))
    say('some edge has not confirmed the new session secrets yet; it takes them when it connects')
  replaceMasterKey(masterKeyFile, newKey, oldFile)
  faultPoint('rekey.replaced')
  while (!(await finish(client, newKey, (keyId) => countOthers(client, keyId))))
    sealed += await resealAll(client, vault, keyring.current)
  rmSync(draftOf(masterKeyFile), { force: true })
  await untilLearnt(client)
  say(`${sealed} secrets were sealed anew`)
  return { oldFile }
}

/** The key to change to: the one that was named, else the one that waits beside the old one, else a new one there. */
function newKeyOf(options: RekeyOptions, before: KeyringRows, present: Buffer): Buffer {
  const { newKeyFile, isStartOver, masterKeyFile } = options
  const isBegun = before.nextMasterKeyCheck !== null
  const draft = draftOf(masterKeyFile)
  if (isBegun && newKeyFile === null && !existsSync(draft) && !isStartOver)
    throw new OperatorError(
      'a change of the master key was begun with a key that is not here: give it by --new-key FILE, or begin with another by --start-over',
    )
  // Left by a change that was killed after its last step.
  if (newKeyFile === null && existsSync(draft) && loadMasterKey(draft, false).equals(present)) rmSync(draft)
  const key = newKeyFile === null ? loadMasterKey(draft, true) : loadMasterKey(newKeyFile, false)
  if (key.equals(present)) throw new OperatorError('the new key is the present master key: nothing to do')
  if (isBegun && !isStartOver && !isKeyOf(key, before.nextMasterKeyCheck))
    throw new OperatorError(
      'a change of the master key to another key was begun: give that one by --new-key FILE, or begin with this one by --start-over',
    )
  return key
}

function draftOf(masterKeyFile: string): string {
  return `${masterKeyFile}.new`
}
