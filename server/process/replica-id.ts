import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isUuid } from '../contract/ids.ts'
import { replaceFile } from './replace-file.ts'

const FILE = 'control.id'

/**
 * The id of the control plane of this data directory, a UUID, made once. The caller holds the lock
 * `control` of the directory, so no two running processes have the same id.
 */
export function replicaId(dataDir: string): string {
  const file = join(dataDir, FILE)
  const known = read(file)
  if (known !== null) return known
  const made = randomUUID()
  replaceFile(file, `${made}\n`, 0o600)
  return made
}

function read(file: string): string | null {
  try {
    const text = readFileSync(file, 'utf8').trim()
    return isUuid(text) ? text : null
  } catch {
    return null
  }
}
