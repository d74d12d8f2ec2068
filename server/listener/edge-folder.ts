import { execFileSync } from 'node:child_process'
import { randomUUIDv7 } from 'node:crypto'
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { generateSealKeyPair, type SealKeyPair } from '../contract/sealing.ts'
import { replaceFile } from '../process/replace-file.ts'

/** Who this edge is to the control plane. */
export type EdgeIdentity = { readonly edgeId: string; readonly name: string; readonly keyPair: SealKeyPair }

/** The account that workers run as when the supervisor is root. */
export type WorkerAccount = { readonly user: string; readonly gid: number }

/** The edge's own disk: records, blobs, its key, and who has taken over the ports. */
export type EdgeFolder = { readonly path: string; readonly blobs: string; readonly identity: EdgeIdentity }

const KEY_FILE = 'edge.key'
const ID_FILE = 'edge.id'

/**
 * Makes `<dataDir>/edge` where it is missing. With an account of its own for workers, new files
 * belong to that account's group (setgid), which may read records and blobs and never the key.
 */
export function prepareEdgeFolder(dataDir: string, account: WorkerAccount | null): EdgeFolder {
  const path = join(dataDir, 'edge')
  const blobs = join(path, 'blobs')
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  for (const folder of [path, blobs]) mkdirSync(folder, { recursive: true, mode: 0o750 })
  if (account !== null) {
    // The account has to pass through to reach the edge's folder; what is beside it stays unreadable.
    chmodSync(dataDir, 0o711)
    giveToGroup(path, account.gid)
  }
  return { path, blobs, identity: identityIn(path) }
}

/** Once per account: what was made under another one gets the group too. */
function giveToGroup(path: string, gid: number): void {
  if (statSync(path).gid === gid && (statSync(path).mode & 0o2000) !== 0) return
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name)
    chownSync(file, 0, gid)
    if (entry.isDirectory()) chmodSync(file, 0o2750)
  }
  chownSync(path, 0, gid)
  chmodSync(path, 0o2750)
}

/** The account `user` of this machine, or null when there is none. */
export function findAccount(user: string): WorkerAccount | null {
  try {
    const gid = Number(execFileSync('id', ['-g', user], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
    return { user, gid }
  } catch {
    return null
  }
}

/** The key pair and id of this edge, made once. */
function identityIn(folder: string): EdgeIdentity {
  const keys = once(join(folder, KEY_FILE), () => {
    const pair = generateSealKeyPair()
    return `${pair.publicKey.toString('base64')} ${pair.privateKey.toString('base64')}\n`
  })
  const [publicKey = '', privateKey = ''] = keys.trim().split(' ')
  return {
    edgeId: once(join(folder, ID_FILE), () => `${randomUUIDv7()}\n`).trim(),
    name: hostname(),
    keyPair: { publicKey: Buffer.from(publicKey, 'base64'), privateKey: Buffer.from(privateKey, 'base64') },
  }
}

/** A file's text; it is made whole or not at all when it is missing. */
function once(file: string, make: () => string): string {
  const known = readOrNull(file)
  if (known !== null) return known
  const text = make()
  replaceFile(file, text, 0o600)
  return text
}

function readOrNull(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
