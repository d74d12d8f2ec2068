import {
  accessSync,
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { loadMasterKey, MasterKeyError } from '../vault.ts'

/** Puts a master key at its place, unless it is there; never replaces another one. Throws `MasterKeyError`. */
export function installMasterKey(file: string, key: Buffer): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const draft = writeAside(file, key)
  try {
    linkSync(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    if (!loadMasterKey(file, false).equals(key))
      throw new MasterKeyError(`NAMEPLATE_MASTER_KEY_FILE: ${file} is another key: move it away`)
  } finally {
    rmSync(draft, { force: true })
  }
  syncFolder(file)
}

/** Puts `key` in place of the one in `file`, which is kept as `oldFile`; whole at each moment. */
export function replaceMasterKey(file: string, key: Buffer, oldFile: string): void {
  if (!loadMasterKey(file, false).equals(key)) {
    rmSync(oldFile, { force: true })
    linkSync(file, oldFile)
    const { uid, gid } = statSync(file)
    const draft = writeAside(file, key)
    // Who runs the command may be root: the control plane still has to read it.
    chownSync(draft, uid, gid)
    renameSync(draft, file)
  }
  syncFolder(file)
}

/** Says at once that `replaceMasterKey` will not work. Throws `MasterKeyError`. */
export function requireWritableFolder(file: string): void {
  try {
    accessSync(dirname(file), constants.W_OK)
  } catch (cause) {
    throw new MasterKeyError(
      `NAMEPLATE_MASTER_KEY_FILE: ${dirname(file)} cannot be written to: run the command with the setting at a copy of the key, then put the new key in its place yourself`,
      { cause },
    )
  }
}

/** Writes a key that is not at its place yet. Only the owner reads it. */
function writeAside(file: string, key: Buffer): string {
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, key, { mode: 0o600, flush: true })
  chmodSync(draft, 0o600)
  return draft
}

function syncFolder(file: string): void {
  const folder = openSync(dirname(file), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
