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
/** A successor that is not ready within this is killed, and the old child goes on. */
const REPLACE_TIMEOUT_MS = 120_000

/** Argument of a child that is started beside the running one, to take over from it. */
export const REPLACE_ARGUMENT = '--replace'

/** A child that ended before it was ready for the first time: it has said why on standard error. */
export class ChildStartError extends OperatorError {
  override name = 'ChildStartError'
}

/** A child that could not be replaced, or did not do what it was asked; `message` says why. The old one goes on. */
export class ChildRequestError extends OperatorError {
  override name = 'ChildRequestError'
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
  /**
   * Starts the file anew beside the running child, with `REPLACE_ARGUMENT`. Once it is ready it is the
   * child, and the end of the old one is no crash. Throws `ChildRequestError` with the reason that it gave.
   */
  replace(): Promise<Ready>
  /** Sends `{type}` to the child and waits for `{type: 'done'}`. Throws `ChildRequestError`. */
  ask(type: string): Promise<void>
  /** Asks it to end (SIGTERM), waits, kills after a while. It is not started again. */
  stop(): Promise<void>
}

/** One process of a child. */
type Run<Ready> = {
  readonly process: ChildProcess
  readonly ready: Promise<Ready>
  /** Resolves, never rejects. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
  /** Resolves with the process that has taken over from this one. */
  readonly succeeded: PromiseWithResolvers<Run<Ready>>
  /** The reason of its failure, as it said itself. */
  readonly failure: () => string | null
}

/**
 * Starts a child process and keeps it running. Its output goes to ours. It is in a session of its own,
 * so that Ctrl+C reaches the parent alone, which stops its children in order; a child ends by itself
 * when its parent is gone.
 */
export function superviseChild<Ready>(options: ChildOptions): Child<Ready> {
  const { name, log } = options
  const first = Promise.withResolvers<Ready>()
  const alive = new Set<Run<Ready>>()
  let isStopping = false
  let isReady = false
  let current: Run<Ready> | null = null
  /** Resolves when it is decided whether a successor has taken over. */
  let replacing: Promise<unknown> | null = null

  const start = (args: readonly string[]): Run<Ready> => {
    const run = startRun<Ready>(options, args)
    alive.add(run)
    void run.ended.then(() => alive.delete(run))
    run.ready.then(
      (message) => {
        isReady = true
        first.resolve(message)
      },
      () => undefined,
    )
    return run
  }
  /** Follows one process and its successors to the end of the last; resolves with how that ended. */
  const follow = async (from: Run<Ready>) => {
    let run = from
    for (;;) {
      current = run
      const next = await Promise.race([run.succeeded.promise, run.ended.then(() => null)])
      // It may have ended because its successor is about to be ready.
      if (next === null && replacing !== null && !isStopping) await replacing
      const successor = next ?? (await Promise.race([run.succeeded.promise, null]))
      if (successor === null) return run.ended
      run = successor
    }
  }
  const keepRunning = async (): Promise<void> => {
    let pause = LEAST_PAUSE_MS
    while (!isStopping) {
      const started = Date.now()
      const { code, signal } = await follow(start([]))
      current = null
      if (isStopping) return
      // A signal says nothing of why it could not start, so it is tried again.
      if (!isReady && signal === null)
        return first.reject(new ChildStartError(`the ${name} process did not start, for the reason above`))
      log.warn({ child: name, code, signal }, 'a process has ended')
      pause = Date.now() - started > HEALTHY_MS ? LEAST_PAUSE_MS : Math.min(pause * 2, MOST_PAUSE_MS)
      await sleep(pause)
    }
  }
  const succeed = async (old: Run<Ready>): Promise<Ready> => {
    const run = start([REPLACE_ARGUMENT])
    const timer = setTimeout(() => run.process.kill('SIGKILL'), REPLACE_TIMEOUT_MS)
    try {
      const message = await run.ready
      old.succeeded.resolve(run)
      log.info({ child: name, pid: run.process.pid }, 'a process was replaced')
      return message
    } catch {
      await run.ended
      throw new ChildRequestError(run.failure() ?? `the new ${name} process has ended, for the reason in its log`)
    } finally {
      clearTimeout(timer)
    }
  }
  const running = keepRunning()
  return {
    ready: first.promise,
    async replace() {
      if (replacing !== null) throw new ChildRequestError(`the ${name} process is being replaced already`)
      if (current === null || isStopping) throw new ChildRequestError(`the ${name} process does not run`)
      const work = succeed(current)
      replacing = work.catch(() => undefined)
      try {
        return await work
      } finally {
        replacing = null
      }
    },
    async ask(type) {
      if (current === null || isStopping) throw new ChildRequestError(`the ${name} process does not run`)
      await askRun(current, type, name)
    },
    async stop() {
      isStopping = true
      first.promise.catch(() => undefined)
      const runs = [...alive]
      const timer = setTimeout(() => runs.forEach(({ process }) => void process.kill('SIGKILL')), STOP_TIMEOUT_MS)
      for (const { process } of runs) process.kill('SIGTERM')
      await Promise.race([running, Promise.all(runs.map(({ ended }) => ended))])
      await Promise.all(runs.map(({ ended }) => ended))
      clearTimeout(timer)
    },
  }
}

function startRun<Ready>({ file, env }: ChildOptions, args: readonly string[]): Run<Ready> {
  const child = spawn(process.execPath, [file, ...args], {
    env,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    detached: true,
  })
  const ready = Promise.withResolvers<Ready>()
  const ended = Promise.withResolvers<{ code: number | null; signal: NodeJS.Signals | null }>()
  ready.promise.catch(() => undefined)
  let failure: string | null = null
  const finish = (code: number | null, signal: NodeJS.Signals | null): void => {
    ready.reject(new Error('ended'))
    ended.resolve({ code, signal })
  }
  child.on('message', (message: { type?: string; message?: string }) => {
    if (message.type === 'ready') ready.resolve(message as Ready)
    else if (message.type === 'failed') failure = message.message ?? null
  })
  child.once('error', (error) => {
    failure = error.message
    finish(1, null)
  })
  child.once('exit', finish)
  const succeeded = Promise.withResolvers<Run<Ready>>()
  return { process: child, ready: ready.promise, ended: ended.promise, succeeded, failure: () => failure }
}

async function askRun(
  { process: child, ended }: Pick<Run<unknown>, 'process' | 'ended'>,
  type: string,
  name: string,
): Promise<void> {
  const answer = Promise.withResolvers<void>()
  const hear = (message: { type?: string; message?: string }): void => {
    if (message.type === 'done') answer.resolve()
    else if (message.type === 'failed') answer.reject(new ChildRequestError(message.message ?? `${name}: it failed`))
  }
  child.on('message', hear)
  child.send({ type }, (error) => {
    if (error !== null) answer.reject(new ChildRequestError(`the ${name} process does not listen (${error.message})`))
  })
  void ended.then(() => answer.reject(new ChildRequestError(`the ${name} process has ended meanwhile`)))
  try {
    await answer.promise
  } finally {
    child.off('message', hear)
  }
}
