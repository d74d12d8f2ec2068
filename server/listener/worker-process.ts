import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { Logger } from '../process/log.ts'
import { OperatorError } from '../process/operator-error.ts'
import type { WorkerLaunch } from './worker-command.ts'
import {
  lineReader,
  type StartMessage,
  type WorkerCommand,
  type WorkerCounters,
  type WorkerReport,
} from './worker-messages.ts'

/** A worker that does not bind its ports within this is killed. */
const START_TIMEOUT_MS = 20_000
/** A worker that does not confirm an invalidation within this is killed: it may serve what is no longer true. */
const CONFIRM_TIMEOUT_MS = 5_000
/** A worker reports every second; one that is silent for so many of our own seconds hangs. A machine that slept counts none. */
const SILENT_CHECKS = 10
const CHECK_MS = 1_000
/** A draining worker ends by itself after 10 s. */
const DRAIN_TIMEOUT_MS = 12_000

/** A worker that did not come up; `message` is its own reason. */
export class WorkerStartError extends OperatorError {
  override name = 'WorkerStartError'
}

/** Takes what a worker writes to its report pipe (`observe/report-pipe.ts`); throws for what is no report. */
export type WorkerIntake = (chunk: Buffer) => void

/** Who hears of what a worker finds wrong on disk: a blob that is missing or damaged, and the records. */
export type DiskFaults = {
  readonly onBlob: (digest: string, kind: 'manifest' | 'file') => void
  readonly onStore: () => void
}

const noFaults: DiskFaults = { onBlob: () => undefined, onStore: () => undefined }

/** One worker process, seen from the supervisor. */
export type WorkerProcess = {
  readonly pid: number | undefined
  /** Resolves with the runtime's name and version once its ports are bound. Rejects with `WorkerStartError`. */
  readonly listening: Promise<string>
  /** Resolves when the process is gone. */
  readonly ended: Promise<void>
  /** What it said last of itself. */
  readonly counters: WorkerCounters | null
  /** Resolves when it has dropped these records, or is gone. Never rejects. */
  invalidate(keys: Extract<WorkerCommand, { type: 'invalidate' }>['keys']): Promise<void>
  /** Stops listening, lets connections finish, ends; killed when that takes too long. */
  drain(): Promise<void>
  kill(): void
}

/** Starts a worker. It runs in a session of its own, so that neither Ctrl-C nor our end takes it along. */
export function startWorkerProcess(
  launch: WorkerLaunch,
  message: StartMessage,
  log: Logger,
  intake: WorkerIntake = () => undefined,
  faults: DiskFaults = noFaults,
): WorkerProcess {
  const stdio: ('pipe' | 'inherit')[] = ['pipe', 'pipe', 'inherit', 'pipe']
  const child = spawn(launch.command, [...launch.args], { env: launch.env, cwd: launch.cwd, stdio, detached: true })
  const listening = Promise.withResolvers<string>()
  const ended = Promise.withResolvers<void>()
  const waiting = new Map<number, () => void>()
  let counters: WorkerCounters | null = null
  let lastId = 0
  let reason = 'the process ended'

  listening.promise.catch(() => undefined)
  const kill = (): void => void child.kill('SIGKILL')
  const startTimer = setTimeout(() => {
    reason = `it did not answer within ${START_TIMEOUT_MS / 1000} s`
    kill()
  }, START_TIMEOUT_MS)
  let silentChecks = 0
  const watch = (): void => {
    silentChecks += 1
    if (silentChecks !== SILENT_CHECKS) return
    log.error({ pid: child.pid }, 'a worker hangs; replacing it')
    kill()
  }
  let watching: NodeJS.Timeout | undefined
  const hear = (report: WorkerReport): void => {
    silentChecks = 0
    if (report.type === 'listening') {
      clearTimeout(startTimer)
      watching = setInterval(watch, CHECK_MS).unref()
      listening.resolve(report.runtime)
    } else if (report.type === 'failed') reason = report.message
    else if (report.type === 'done') waiting.get(report.id)?.()
    else if (report.type === 'blob-fault') faults.onBlob(report.digest, report.kind)
    else if (report.type === 'store-damage') faults.onStore()
    else counters = report.counters
  }
  const finish = (why: string): void => {
    clearTimeout(startTimer)
    clearInterval(watching)
    listening.reject(new WorkerStartError(why))
    for (const confirm of waiting.values()) confirm()
    ended.resolve()
  }
  child.once('error', (error) => finish(error.message))
  child.once('close', (code, signal) => finish(`${reason} (${signal ?? `exit code ${code}`})`))
  child.stdin?.on('error', () => undefined)
  child.stdout?.on(
    'data',
    guarded(
      child,
      log,
      lineReader((line) => hear(JSON.parse(line) as WorkerReport)),
    ),
  )
  const reports = child.stdio[3] as Readable | null | undefined
  reports?.on('error', () => undefined).on('data', guarded(child, log, intake))
  const send = (command: WorkerCommand): void => void child.stdin?.write(`${JSON.stringify(command)}\n`)
  send(message)

  return {
    pid: child.pid,
    listening: listening.promise,
    ended: ended.promise,
    get counters() {
      return counters
    },
    async invalidate(keys) {
      lastId += 1
      const id = lastId
      const confirmed = new Promise<void>((resolve) => waiting.set(id, resolve))
      send({ type: 'invalidate', id, keys })
      await Promise.race([listening.promise.catch(() => undefined), confirmed])
      const timer = setTimeout(() => {
        log.error({ pid: child.pid }, 'a worker does not answer; replacing it')
        kill()
      }, CONFIRM_TIMEOUT_MS)
      await Promise.race([confirmed, ended.promise])
      clearTimeout(timer)
      waiting.delete(id)
    },
    async drain() {
      send({ type: 'drain' })
      const timer = setTimeout(kill, DRAIN_TIMEOUT_MS)
      await ended.promise
      clearTimeout(timer)
    },
    kill,
  }
}

/** Reads reports; a worker that says something else is broken and is killed. */
function guarded(child: ChildProcess, log: Logger, read: (chunk: Buffer) => void): (chunk: Buffer) => void {
  return (chunk) => {
    try {
      read(chunk)
    } catch (error) {
      log.error({ pid: child.pid, err: error }, 'a worker sends what is no report; replacing it')
      child.kill('SIGKILL')
    }
  }
}
