import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const STOP_TIMEOUT_MS = 15_000
const OUTPUT_CHARS = 20_000
const execute = promisify(execFile)

/** The servers have one processor, the clients (and upstreams) the other: neither takes the other's time. */
export const SERVER_CPU = 0
export const CLIENT_CPU = 1

/** A program that was started here. */
export type Running = {
  readonly pid: number
  readonly child: ChildProcess
  /** `performance.now()` before the process was made. */
  readonly startedAt: number
  /** The end of what it wrote to both streams. */
  readonly output: () => string
  readonly isOver: () => boolean
  /** SIGTERM, after 15 s SIGKILL; resolves when it is gone. */
  stop(): Promise<void>
}

/** How a program is started. */
export type StartOptions = {
  readonly cpu: number
  readonly env?: NodeJS.ProcessEnv
  /** With an IPC channel, as the product starts its planes. */
  readonly isNode?: boolean
  /** A file instead of what is kept for `output`. */
  readonly stdout?: number
}

/** Starts a program on one processor. */
export function startPinned(command: string, args: readonly string[], options: StartOptions): Running {
  const startedAt = performance.now()
  const child = spawn('taskset', ['-c', String(options.cpu), command, ...args], {
    stdio: ['ignore', options.stdout ?? 'pipe', 'pipe', ...(options.isNode ? ['ipc' as const] : [])],
    env: options.env ?? process.env,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-OUTPUT_CHARS)
    })
  const exited = once(child, 'exit').catch(() => undefined)
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null || child.pid === undefined
  return {
    pid: child.pid ?? 0,
    child,
    startedAt,
    output: () => output,
    isOver,
    async stop() {
      if (isOver()) return
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
      await exited
      clearTimeout(timer)
    },
  }
}

/** Waits until `check` holds; throws with what the program said when it ends before, or after `limitMs`. */
export async function untilReady(
  running: Running,
  check: () => Promise<boolean>,
  { everyMs = 20, limitMs = 60_000 } = {},
): Promise<void> {
  const limit = performance.now() + limitMs
  while (!(await check())) {
    if (running.isOver()) throw new Error(`it ended at its start: ${running.output().trim().slice(-2_000)}`)
    if (performance.now() > limit) throw new Error(`no answer within ${limitMs / 1_000} s: ${running.output().trim()}`)
    await sleep(everyMs)
  }
}

/** Runs a program on a processor to its end; throws with what it said when it fails or takes too long. */
export async function runPinned(cpu: number, command: string, args: readonly string[], limitMs = 60_000) {
  const options = { timeout: limitMs, killSignal: 'SIGKILL', maxBuffer: 64e6 } as const
  return execute('taskset', ['-c', String(cpu), command, ...args], options).catch(
    (error: Error & { stderr?: string }) => {
      throw new Error(`${command}: ${error.message} ${error.stderr ?? ''}`.slice(0, 2_000))
    },
  )
}

/** Puts all threads of a running process on one processor. */
export async function pin(pid: number, cpu: number): Promise<void> {
  await execute('taskset', ['-a', '-c', '-p', String(cpu), String(pid)])
}
