import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chownSync, existsSync, lchownSync, lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { OperatorError } from './operator-error.ts'

const run = promisify(execFile)

/** Accounts that the database server may run as when we are root (it refuses to be root), first that exists. */
const SERVER_USERS = ['nameplate', 'postgres', 'nobody', 'daemon'] as const
/** With `/.s.PGSQL.5432.lock` behind it a path stays below the 107 bytes that the kernel takes (unix(7)). */
const MAX_SOCKET_FOLDER_BYTES = 85

/** The embedded server could not be prepared or started. `message` says what to do. */
export class PostgresError extends OperatorError {
  override name = 'PostgresError'
}

/** Who the server runs as. */
export type Account = { readonly uid: number; readonly gid: number }

/** The server takes a list of folders, with commas between them and quotes around them. */
const PLAIN_PATH = /^[\w/.-]+$/

/**
 * Where the server's socket is: beside its data, or for a path that is too long or cannot be said to the
 * server in a folder below the temporary one, the same each time.
 */
export function socketFolder(folder: string): string {
  if (folder.length <= MAX_SOCKET_FOLDER_BYTES && PLAIN_PATH.test(folder)) return folder
  return join(tmpdir(), `nameplate-pg-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}`)
}

/**
 * As root: the account of the server. What `pgdata` belongs to stays, unless that is `exceptUser`, the
 * account of the listener's workers: who is the server's own account can do anything with the data.
 * Throws `PostgresError` when there is none.
 */
export async function serverAccount(pgdata: string, exceptUser: string | null): Promise<Account> {
  const except = exceptUser === null ? null : await findAccount(exceptUser)
  const present = existsSync(pgdata) ? statSync(pgdata) : null
  if (present !== null && present.uid !== 0 && present.uid !== except?.uid) return present
  for (const name of SERVER_USERS) {
    const account = await findAccount(name)
    if (account !== null && account.uid !== except?.uid) return account
  }
  throw new PostgresError(
    'PostgreSQL does not run as root, and there is no other account for it than that of NAMEPLATE_USER: set DATABASE_URL',
  )
}

/** Makes the server's data its own, where it was another account's before. */
export function giveData(pgdata: string, { uid, gid }: Account): void {
  if (!existsSync(pgdata) || statSync(pgdata).uid === uid) return
  for (const entry of readdirSync(pgdata, { recursive: true, withFileTypes: true }))
    lchownSync(join(entry.parentPath, entry.name), uid, gid)
  lchownSync(pgdata, uid, gid)
}

/**
 * Makes the folder of the socket. Below the temporary folder anybody may have made it before, and who
 * owns it could pose as the database: then throws `PostgresError`.
 */
export function makeSocketFolder(folder: string, account: Account | null): void {
  try {
    mkdirSync(folder, { mode: 0o700 })
    if (account !== null) chownSync(folder, account.uid, account.gid)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  const { uid, mode } = lstatSync(folder)
  const owner = account?.uid ?? process.geteuid?.()
  if (lstatSync(folder).isDirectory() && uid === owner && (mode & 0o077) === 0) return
  throw new PostgresError(
    `${folder} belongs to another user or others may enter it: remove it, or use a data directory with a shorter path`,
  )
}

async function findAccount(name: string): Promise<Account | null> {
  const found = await run('getent', ['passwd', name]).catch(() => null)
  const [, , uid, gid] = found?.stdout.split(':') ?? []
  return uid === undefined || gid === undefined ? null : { uid: Number(uid), gid: Number(gid) }
}
