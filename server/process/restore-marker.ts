import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { OperatorError } from './operator-error.ts'
import { replaceFile } from './replace-file.ts'

const FILE = 'restore.json'

/** A restore that has begun. `feedId`: the feed id that the restored database gets, by which a next try knows it. */
export type RestoreMarker = {
  readonly feedId: string
  readonly startedAt: string
  /** Whether the embedded server was made whole; before that its folder may be half made. */
  readonly isServerMade: boolean
}

/** Reads the marker of a data directory; null where no restore is under way. */
export function readRestoreMarker(dataDir: string): RestoreMarker | null {
  try {
    return JSON.parse(readFileSync(join(dataDir, FILE), 'utf8')) as RestoreMarker
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Writes it, on disk when it returns. */
export function writeRestoreMarker(dataDir: string, marker: RestoreMarker): void {
  replaceFile(join(dataDir, FILE), `${JSON.stringify(marker)}\n`, 0o600)
}

/** The restore is done. */
export function removeRestoreMarker(dataDir: string): void {
  rmSync(join(dataDir, FILE), { force: true })
}

/** Refuses to work with a data directory that is half restored. Throws `OperatorError`. */
export function refuseHalfRestore(dataDir: string): void {
  const marker = readRestoreMarker(dataDir)
  if (marker === null) return
  throw new OperatorError(
    `${dataDir}: a restore began here at ${marker.startedAt} and did not end: run "nameplate restore FILE" again, or empty the directory`,
  )
}
