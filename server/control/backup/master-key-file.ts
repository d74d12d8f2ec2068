import {
  chmodSync,
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
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
    renameSync(writeAside(file, key), file)
  }
  syncFolder(file)
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
