import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { OperatorError } from './operator-error.ts'
import { SettingsError } from './settings.ts'

/** Another process of this installation runs already. */
export class LockedError extends OperatorError {
  override name = 'LockedError'
}

/**
 * Takes the lock `name` in a data directory until the process ends. It is a lock of the kernel (the
 * one that SQLite takes on its file), so kill -9 frees it and no stale file can block a start.
 * Throws `LockedError` when another process holds it, and `SettingsError` when the data directory
 * cannot be made or written to.
 */
export function takeLock(dataDir: string, name: string): () => void {
  const file = openLockFile(dataDir, name)
  try {
    file.exec('pragma busy_timeout = 0; pragma journal_mode = memory; pragma locking_mode = exclusive; begin exclusive')
  } catch (cause) {
    file.close()
    if (/locked|busy/i.test(String(cause))) {
      throw new LockedError(`${dataDir}: Nameplate (${name}) runs on this data directory already`, { cause })
    }
    throw cause
  }
  return () => file.close()
}

function openLockFile(dataDir: string, name: string): DatabaseSync {
  const folder = join(dataDir, 'locks')
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    return new DatabaseSync(join(folder, name))
  } catch (cause) {
    const reason = (cause as Error).message
    throw new SettingsError(
      `NAMEPLATE_DATA_DIR: ${dataDir} cannot be made or written to by this user (${reason}); choose or prepare a folder`,
      { cause },
    )
  }
}
