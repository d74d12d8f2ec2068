import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePorts } from './ports.ts'

const CLI = fileURLToPath(new URL('../cli.ts', import.meta.url))
const DEADLINE_MS = 90_000

/** A `nameplate` command as a process of its own. */
export type Command = {
  readonly pid: number
  /** All that it and its children wrote so far. */
  readonly output: () => string
  /** The exit code, once it has ended. */
  readonly ended: Promise<number | null>
  /** Asks it to end (or as given) and waits for it. */
  end(signal?: NodeJS.Signals): Promise<void>
}

/** Starts a command (with its options after spaces) without waiting for anything. `wrapper` is a program that becomes it, such as `setpriv`. */
export function launch(command: string, env: NodeJS.ProcessEnv, wrapper: readonly string[] = []): Command {
  let output = ''
  const [program = process.execPath, ...args] = [...wrapper, process.execPath, CLI, ...command.split(' ')]
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  return {
    pid: child.pid ?? 0,
    output: () => output,
    ended,
    async end(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal)
      await ended
    },
  }
}

/** Starts a command and waits until it says that it runs. Throws with its output when it does not. */
export async function startCommand(
  command: string,
  env: NodeJS.ProcessEnv,
  wrapper: readonly string[] = [],
): Promise<Command> {
  const started = launch(command, env, wrapper)
  let exit: number | null | undefined
  void started.ended.then((code) => (exit = code))
  const deadline = Date.now() + DEADLINE_MS
  while (!started.output().includes('Nameplate is running.')) {
    if (exit !== undefined) throw new Error(`nameplate ${command} ended with ${exit}:\n${started.output()}`)
    if (Date.now() > deadline) {
      await started.end('SIGKILL')
      throw new Error(`nameplate ${command} did not start:\n${started.output()}`)
    }
    await sleep(25)
  }
  return started
}

/** A whole installation as a person would start it: `nameplate start` as a process of its own. */
export type Stack = AsyncDisposable & {
  readonly dataDir: string
  readonly env: NodeJS.ProcessEnv
  readonly apiUrl: string
  readonly uiUrl: string
  readonly httpsPort: number
  readonly httpPort: number
  /** The running parents: one, or control plane and listener apart. */
  readonly parents: readonly Command[]
  /** All that the processes wrote so far. */
  readonly output: () => string
  /** The set-up link that was printed, or null. */
  readonly setupUrl: () => string | null
}

/** What a test sets; settings of the product go into `env`. */
export type StackOptions = {
  readonly env?: NodeJS.ProcessEnv
  readonly httpPort?: number
  readonly httpsPort?: number
  /** The one address that the listener binds; default every address. */
  readonly address?: string
  /** The commands that make it up; default `start` alone. */
  readonly commands?: readonly string[]
}

/** Credentials that the stack's first admin has unless the test sets others. */
export const admin = { email: 'admin@nameplate.test', password: 'correct horse battery' } as const

/** Starts a stack on free ports and waits until it says that it runs. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const dataDir = mkdtempSync(join(tmpdir(), 'nameplate-stack-'))
  const [api = 0, tls = 0, http = 0, metrics = 0] = await freePorts(4)
  const httpPort = options.httpPort ?? http
  const https = options.httpsPort ?? tls
  const env: NodeJS.ProcessEnv = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    NAMEPLATE_DATA_DIR: dataDir,
    NAMEPLATE_API_LISTEN: `127.0.0.1:${api}`,
    NAMEPLATE_HTTPS_LISTEN: `${options.address ?? ''}:${https}`,
    NAMEPLATE_HTTP_LISTEN: `${options.address ?? ''}:${httpPort}`,
    NAMEPLATE_METRICS_LISTEN: `127.0.0.1:${metrics}`,
    NAMEPLATE_WORKERS: '2',
    NAMEPLATE_ADMIN_EMAIL: admin.email,
    NAMEPLATE_ADMIN_PASSWORD: admin.password,
    NAMEPLATE_OUTBOUND_ALLOW: '127.0.0.0/8,::1',
    ...options.env,
  }
  const parents: Command[] = []
  const dispose = async (): Promise<void> => {
    await Promise.all(parents.map((parent) => parent.end()))
    rmSync(dataDir, { recursive: true, force: true })
  }
  const output = (): string => parents.map((parent) => parent.output()).join('')
  try {
    for (const command of options.commands ?? ['start']) parents.push(await startCommand(command, env))
  } catch (error) {
    await dispose()
    throw error
  }
  return {
    dataDir,
    env,
    apiUrl: `http://127.0.0.1:${api}/api/v1`,
    uiUrl: `http://localhost:${api}`,
    httpsPort: https,
    httpPort,
    parents,
    output,
    setupUrl: () => /http:\/\/localhost:\d+\/setup#\S+/.exec(output())?.[0] ?? null,
    [Symbol.asyncDispose]: dispose,
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
