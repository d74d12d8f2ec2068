import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type Settings, SettingsError } from './settings.ts'

/** The kernel takes 107 bytes (unix(7)); the rest is room for what a library may add. */
const MAX_PATH_BYTES = 100

/**
 * Path of the Unix socket between the planes, the same on both sides: the setting; else in the data
 * directory; else, where that is too deep for a socket, in a folder of ours below the temporary one.
 * The folder of the latter two is made when missing. Throws `SettingsError` when it is not ours
 * alone, since whoever owns it could pose as the control plane.
 */
export function linkSocketPath(settings: Pick<Settings, 'linkSocket' | 'dataDir'>): string {
  if (settings.linkSocket !== null) return settings.linkSocket
  const path = runSocketPath(settings.dataDir, 'link.sock')
  makeOwnFolder(dirname(path))
  return path
}

/**
 * Path of a Unix socket of an installation, by its name of at most 20 bytes: in the data directory, or
 * in the folder for those that are too deep. Nothing is made; whoever listens calls `makeOwnFolder`.
 */
export function runSocketPath(dataDir: string, name: string): string {
  const inData = join(dataDir, 'run', name)
  if (Buffer.byteLength(inData) <= MAX_PATH_BYTES) return inData
  const id = createHash('sha256').update(dataDir).digest('hex').slice(0, 16)
  return join(tmpdir(), `nameplate-link-${id}`, name)
}

/** Makes a folder that only this user may write to. Throws `SettingsError` when it is somebody else's. */
export function makeOwnFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const { uid, mode } = lstatSync(folder)
  const isFolder = lstatSync(folder).isDirectory()
  if (isFolder && uid === process.geteuid?.() && (mode & 0o022) === 0) return
  throw new SettingsError(
    `NAMEPLATE_LINK_SOCKET: ${folder} belongs to another user or others may write to it; remove it or set a path`,
  )
}
