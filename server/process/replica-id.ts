import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
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
    return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text) ? text : null
  } catch {
    return null
  }
}
