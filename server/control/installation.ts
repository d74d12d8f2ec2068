import { randomUUID } from 'node:crypto'
import { UnsealError } from '../contract/sealing.ts'
import type { Db } from './db.ts'
import { MasterKeyError, type Vault } from './vault.ts'

const CONTEXT = 'master-key-check'
const KNOWN_TEXT = 'nameplate'

/** Whether this database was set up before: then its master key must be there already and is not made anew. */
export async function hasInstallation(db: Db): Promise<boolean> {
  return (await db.installation.count()) > 0
}

/**
 * Makes the row that says what this database is, or checks that the master key is the one it was made
 * with. Replicas may start together. Throws `MasterKeyError`.
 */
export async function ensureInstallation(db: Db, vault: Vault): Promise<void> {
  const check = vault.seal(KNOWN_TEXT, CONTEXT)
  await db.$executeRaw`
    insert into installation (id, feed_id, master_key_check) values (1, ${randomUUID()}::uuid, ${check})
    on conflict (id) do nothing`
  const { masterKeyCheck } = await db.installation.findUniqueOrThrow({ where: { id: 1 } })
  try {
    vault.unseal(masterKeyCheck, CONTEXT)
  } catch (cause) {
    if (!(cause instanceof UnsealError)) throw cause
    throw new MasterKeyError(
      'NAMEPLATE_MASTER_KEY_FILE: this master key is not the one that this database was made with; restore the key from your backup, or name the right DATABASE_URL',
      { cause },
    )
  }
}
