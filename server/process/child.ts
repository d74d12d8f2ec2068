import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from './log.ts'
import { OperatorError } from './operator-error.ts'

/** Between two starts of a child that dies again and again. */
const LEAST_PAUSE_MS = 100
const MOST_PAUSE_MS = 5_000
/** A child that lived this long is started again at once. */
const HEALTHY_MS = 10_000
/** After this a child that was asked to stop is killed. */
const STOP_TIMEOUT_MS = 20_000

/** A child that ended before it was ready for the first time: it has said why on standard error. */
export class ChildStartError extends OperatorError {
  override name = 'ChildStartError'
}

/** What a supervised child is. */
export type ChildOptions = {
  readonly name: string
  /** A file that the pinned Node runs. */
  readonly file: string
  readonly env: NodeJS.ProcessEnv
  readonly log: Logger
}

/** A child that is started again whenever it ends. */
export type Child<Ready> = {
  /** What the child's first `{type: 'ready'}` message said. Rejects with `ChildStartError`. */
  readonly ready: Promise<Ready>
  /** Asks it to end (SIGTERM), waits, kills after a while. It is not started again. */
  stop(): Promise<void>
}

/**
 * Starts a child process and keeps it running. Its output goes to ours. It is in a session of its own,
 * so that Ctrl+C reaches the parent alone, which stops its children in order; a child ends by itself
 * when its parent is gone.
 */
export function superviseChild<Ready>(options: ChildOptions): Child<Ready> {
  let isStopping = false
  let current: ChildProcess | null = null
  const first = Promise.withResolvers<Ready>()
  let isReady = false

  /** Resolves to whether it was killed: that says nothing of why it could not start, so it is tried again. */
  const runOnce = (): Promise<boolean> =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, [options.file], {
        env: options.env,
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        detached: true,
      })
      current = child
      child.on('message', (message: { type?: string }) => {
        if (message.type !== 'ready') return
        isReady = true
        first.resolve(message as Ready)
      })
      child.once('error', () => resolve(false))
      child.once('exit', (code, signal) => {
        current = null
        const wasKilled = signal !== null
        if ((isReady || wasKilled) && !isStopping)
          options.log.warn({ child: options.name, code, signal }, 'a process has ended')
        resolve(wasKilled)
      })
    })
  const keepRunning = async (): Promise<void> => {
    let pause = LEAST_PAUSE_MS
    while (!isStopping) {
      const started = Date.now()
      const wasKilled = await runOnce()
      if (isStopping) return
      if (!isReady && !wasKilled)
        return first.reject(new ChildStartError(`the ${options.name} process did not start, for the reason above`))
      pause = Date.now() - started > HEALTHY_MS ? LEAST_PAUSE_MS : Math.min(pause * 2, MOST_PAUSE_MS)
      await sleep(pause)
    }
  }
  const running = keepRunning()
  return {
    ready: first.promise,
    async stop() {
      isStopping = true
      first.promise.catch(() => undefined)
      const timer = setTimeout(() => current?.kill('SIGKILL'), STOP_TIMEOUT_MS)
      current?.kill('SIGTERM')
      await Promise.race([running, untilGone(() => current === null)])
      clearTimeout(timer)
    },
  }
}

async function untilGone(isGone: () => boolean): Promise<void> {
  while (!isGone()) await sleep(20)
}
