import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { WorkerAccount } from './edge-folder.ts'

/** A runtime of the workers. */
export type Runtime = 'bun' | 'node'

/** How a worker process is started. */
export type WorkerLaunch = {
  readonly runtime: Runtime
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
}

const WORKER_FILE = fileURLToPath(new URL('worker.ts', import.meta.url))

/** Bun would read `bunfig.toml` (which can name code to run) and `.env` of its folder, and fetch what is missing. */
const BUN_FLAGS = ['--config=/dev/null', '--no-env-file', '--no-install']
/** SIGUSR1 would open Node's inspector, and with it the heap. */
const NODE_FLAGS = ['--disable-warning=ExperimentalWarning', '--disable-sigusr1']
/** Nothing of our own environment goes to workers: it may hold passwords. */
const ENVIRONMENT = { PATH: '/usr/bin:/bin' }
/**
 * Of Bun alone. Its allocator would give each freed page back after 10 ms and fetch it again for the next connection: a
 * third of what a handshake costs. So it keeps what it has had once, and the collector is told of a machine of 192 MB:
 * above a quarter of that the heap grows by halves, above half of it by quarters. A worker with 5,000 hot sites has
 * 190 MB (220 with 256 MB, 215 with 1 GB), and with few sites nothing is slower.
 */
const BUN_ENVIRONMENT = {
  DO_NOT_TRACK: '1',
  BUN_ENABLE_CRASH_REPORTING: '0',
  MIMALLOC_PURGE_DELAY: '-1',
  BUN_JSC_forceRAMSize: String(192 * 1024 ** 2),
}
/** No core file, which would hold keys; as many descriptors as the hard limit allows, where it is a number. */
const LIMITS = 'ulimit -c 0; ulimit -S -n "$(ulimit -H -n)" 2>/dev/null; exec "$0" "$@"'
/** A folder that nobody else may write into, whatever ours is. */
const FOLDER = '/'

/** The command line of a worker, or null when that runtime is not installed. */
export function workerLaunch(runtime: Runtime, account: WorkerAccount | null): WorkerLaunch | null {
  const binary = runtimeBinary(runtime)
  if (binary === null) return null
  const program = [binary, ...(runtime === 'bun' ? BUN_FLAGS : NODE_FLAGS), WORKER_FILE]
  const args = ['-c', LIMITS, ...(account === null ? [] : asAccount(account)), ...program]
  const env = runtime === 'bun' ? { ...ENVIRONMENT, ...BUN_ENVIRONMENT } : ENVIRONMENT
  return { runtime, command: 'sh', args, env, cwd: FOLDER }
}

/** The program of a runtime, or null when it is not installed. */
export function runtimeBinary(runtime: Runtime): string | null {
  return runtime === 'bun' ? bunBinary() : process.execPath
}

/** As another account, with the right to bind low ports and no other, nor a way to get one by a set-uid program. */
function asAccount(account: WorkerAccount): string[] {
  const capability = '+net_bind_service'
  const ids = [`--reuid=${account.user}`, `--regid=${account.gid}`, '--init-groups']
  const rights = ['--no-new-privs', `--inh-caps=${capability}`, `--ambient-caps=${capability}`]
  return ['setpriv', ...ids, ...rights]
}

/** Of the platform package that npm has chosen by processor and C library. */
function bunBinary(): string | null {
  const arch = process.arch === 'arm64' ? 'aarch64' : process.arch
  const { resolve } = createRequire(import.meta.url)
  for (const name of [`@oven/bun-linux-${arch}`, `@oven/bun-linux-${arch}-musl`]) {
    try {
      return join(dirname(resolve(`${name}/package.json`)), 'bin', 'bun')
    } catch {
      // Not the one of this machine.
    }
  }
  return null
}
