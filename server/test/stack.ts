import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const CLI = fileURLToPath(new URL('../cli.ts', import.meta.url))
const DEADLINE_MS = 90_000

/** Asks the system for ports that are free now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.listen(0, () => resolve()))))
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** A whole installation as a person would start it: `nameplate start` as a process of its own. */
export type Stack = AsyncDisposable & {
  readonly dataDir: string
  readonly apiUrl: string
  readonly uiUrl: string
  readonly httpsPort: number
  readonly httpPort: number
  /** The parent's process, to be killed. */
  readonly parent: () => ChildProcess
  /** All that the processes wrote so far. */
  readonly output: () => string
  /** The set-up link that was printed, or null. */
  readonly setupUrl: () => string | null
  /** Starts the command again on the same data directory; `planes` may be `control` or `listener` alone. */
  restart(command?: string, env?: NodeJS.ProcessEnv): Promise<void>
  /** Ends the parent (SIGTERM, or as given) and waits for it. */
  end(signal?: NodeJS.Signals): Promise<void>
}

/** What a test sets; settings of the product go into `env`. */
export type StackOptions = { readonly env?: NodeJS.ProcessEnv; readonly httpPort?: number; readonly dataDir?: string }

/** Credentials that the stack's first admin has unless the test sets others. */
export const admin = { email: 'admin@nameplate.test', password: 'correct horse battery' } as const

/** Starts a stack on free ports and waits until it says that it runs. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'nameplate-stack-'))
  const [api = 0, https = 0, http = 0, metrics = 0] = await freePorts(4)
  const httpPort = options.httpPort ?? http
  const env: NodeJS.ProcessEnv = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    NAMEPLATE_DATA_DIR: dataDir,
    NAMEPLATE_API_LISTEN: `127.0.0.1:${api}`,
    NAMEPLATE_HTTPS_LISTEN: `:${https}`,
    NAMEPLATE_HTTP_LISTEN: `:${httpPort}`,
    NAMEPLATE_METRICS_LISTEN: `127.0.0.1:${metrics}`,
    NAMEPLATE_WORKERS: '2',
    NAMEPLATE_LOG_LEVEL: 'info',
    NAMEPLATE_ADMIN_EMAIL: admin.email,
    NAMEPLATE_ADMIN_PASSWORD: admin.password,
    NAMEPLATE_OUTBOUND_ALLOW: '127.0.0.0/8,::1',
    ...options.env,
  }
  let output = ''
  let child = launch('start', env)

  function launch(command: string, withEnv: NodeJS.ProcessEnv): ChildProcess {
    const started = spawn(process.execPath, [CLI, command], { env: withEnv, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [started.stdout, started.stderr])
      stream?.on('data', (chunk: Buffer) => (output += chunk.toString()))
    return started
  }
  const running = async (from: number): Promise<void> => {
    const deadline = Date.now() + DEADLINE_MS
    while (!output.slice(from).includes('Nameplate is running.')) {
      if (child.exitCode !== null) throw new Error(`the stack ended with ${child.exitCode}:\n${output.slice(from)}`)
      if (Date.now() > deadline) throw new Error(`the stack did not start:\n${output.slice(from)}`)
      await sleep(25)
    }
  }
  const end = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    await ended
  }
  try {
    await running(0)
  } catch (error) {
    await end('SIGKILL')
    throw error
  }
  return {
    dataDir,
    apiUrl: `http://127.0.0.1:${api}/api/v1`,
    uiUrl: `http://localhost:${api}`,
    httpsPort: https,
    httpPort,
    parent: () => child,
    output: () => output,
    setupUrl: () => /http:\/\/localhost:\d+\/setup#\S+/.exec(output)?.[0] ?? null,
    end,
    async restart(command = 'start', more = {}) {
      await end()
      const from = output.length
      child = launch(command, { ...env, ...more })
      await running(from)
    },
    async [Symbol.asyncDispose]() {
      await end()
      if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

/** Waits until `probe` gives a value, with a generous deadline. Its last error is told. */
export async function eventually<T>(
  probe: () => Promise<T | undefined | false>,
  what: string,
  deadlineMs = DEADLINE_MS,
): Promise<T> {
  const deadline = Date.now() + deadlineMs
  let last: unknown
  while (Date.now() < deadline) {
    try {
      const value = await probe()
      if (value !== undefined && value !== false) return value
    } catch (error) {
      last = error
    }
    await sleep(50)
  }
  throw new Error(`did not happen in time: ${what}${last === undefined ? '' : ` (${String(last)})`}`, { cause: last })
}
