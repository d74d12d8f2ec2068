import { setTimeout as sleep } from 'node:timers/promises'
import type { RecordKind } from '../contract/records.ts'
import type { Logger } from '../process/log.ts'
import type { WorkerLaunch } from './worker-command.ts'
import type { StartMessage, WorkerCounters } from './worker-messages.ts'
import { type DiskFaults, startWorkerProcess, type WorkerIntake, type WorkerProcess } from './worker-process.ts'

/** A worker that lived this long is replaced at once when it dies. */
const HEALTHY_MS = 10_000
const LEAST_PAUSE_MS = 100
const MOST_PAUSE_MS = 5_000
/** Keys of one command, so that a sweep of a large store does not become one huge line. */
const KEYS_PER_COMMAND = 2_000

/** What the pool is made of. */
export type WorkerPoolOptions = {
  readonly launch: WorkerLaunch
  readonly count: number
  readonly message: StartMessage
  readonly log: Logger
  /** Makes the reader of one worker's report pipe; without it reports are thrown away. */
  readonly intake?: () => WorkerIntake
  /** Told the pids of all workers whenever one comes or goes. */
  readonly onWorkers: (pids: readonly number[]) => void
}

/** What the pool says of itself; counters are the sum over the live workers, some seconds old. */
export type PoolStatus = WorkerCounters & { readonly workers: number; readonly runtime: string }

/** One worker as the status page shows it; counters null before its first word. */
export type PoolWorker = {
  readonly pid: number
  readonly startedAtMs: number
  readonly counters: WorkerCounters | null
}

/** The workers of this supervisor. */
export type WorkerPool = {
  /**
   * Resolves once every live worker has dropped what it cached of these records. A worker that does
   * not answer is replaced; a new one has nothing cached. Call it after the records are on disk.
   */
  invalidate(keys: readonly { kind: RecordKind; key: string }[]): Promise<void>
  status(): PoolStatus
  /** Who hears of what workers find wrong on disk; each of the two that is given replaces the one before. */
  onDiskFaults(listeners: Partial<DiskFaults>): void
  /**
   * Puts a new process in place of each worker, one after the other: the new one listens before the old
   * one drains. Throws `WorkerStartError` when one does not come up; the others stay as they are.
   */
  replaceAll(): Promise<void>
  /** Those that live, and how many were started so far. */
  members(): { readonly workers: readonly PoolWorker[]; readonly started: number }
  /** Ends all workers after their connections, at most 12 s. None is started again. */
  drain(): Promise<void>
}

/** Starts the workers and resolves when all of them listen. Throws `WorkerStartError`; then none is left. */
export async function startWorkerPool(options: WorkerPoolOptions): Promise<WorkerPool> {
  const { launch, log } = options
  /** All that live, those that drain as well. */
  const live = new Set<WorkerProcess>()
  /** Those whose end is no crash. */
  const retired = new Set<WorkerProcess>()
  const startedAtMs = new WeakMap<WorkerProcess, number>()
  let faults: Partial<DiskFaults> = {}
  let started = 0
  let isDraining = false
  let runtime: string = launch.runtime

  const announce = (): void => options.onWorkers([...live].flatMap((worker) => worker.pid ?? []))
  const startOne = (): WorkerProcess => {
    const worker = startWorkerProcess(launch, options.message, log, options.intake?.(), {
      onBlob: (digest, kind) => faults.onBlob?.(digest, kind),
      onStore: () => faults.onStore?.(),
    })
    live.add(worker)
    startedAtMs.set(worker, Date.now())
    started += 1
    announce()
    worker.listening.then(
      (label) => {
        runtime = label
      },
      () => undefined,
    )
    void worker.ended.then(() => {
      live.delete(worker)
      announce()
    })
    return worker
  }
  const keep = async (first: WorkerProcess): Promise<void> => {
    let worker = first
    let pause = 0
    for (;;) {
      const since = Date.now()
      await worker.ended
      if (isDraining || retired.delete(worker)) return
      const reason = await worker.listening.then(() => 'it had been serving', messageOf)
      log.warn({ pid: worker.pid, reason }, 'a worker has ended; starting another')
      pause = pauseAfter(Date.now() - since, pause)
      if (pause > LEAST_PAUSE_MS) await sleep(pause)
      if (isDraining) return
      worker = startOne()
    }
  }
  const drain = async (): Promise<void> => {
    isDraining = true
    await Promise.all([...live].map((worker) => worker.drain()))
  }
  /** Resolves when the new one listens, with the end of the old one. */
  const replaceOne = async (old: WorkerProcess): Promise<{ drained: Promise<void> }> => {
    const fresh = startOne()
    await fresh.listening
    // One that has crashed meanwhile has a replacement of its own.
    const isLeft = live.has(old) && !isDraining
    if (!isDraining) void keep(fresh)
    if (isLeft) retired.add(old)
    return { drained: isLeft ? old.drain() : Promise.resolve() }
  }

  const first = Array.from({ length: options.count }, startOne)
  try {
    await Promise.all(first.map((worker) => worker.listening))
  } catch (error) {
    for (const worker of first) worker.kill()
    await Promise.all(first.map((worker) => worker.ended))
    throw error
  }
  for (const worker of first) void keep(worker)
  return {
    async invalidate(keys) {
      for (let at = 0; at < keys.length; at += KEYS_PER_COMMAND) {
        const part = keys.slice(at, at + KEYS_PER_COMMAND)
        await Promise.all([...live].map((worker) => worker.invalidate(part)))
      }
    },
    async replaceAll() {
      const olds = [...live].filter((worker) => !retired.has(worker))
      const drained: Promise<void>[] = []
      for (const old of olds) drained.push((await replaceOne(old)).drained)
      await Promise.all(drained)
    },
    onDiskFaults(listeners) {
      faults = { ...faults, ...listeners }
    },
    status: () => ({ ...sum([...live]), workers: live.size - retired.size, runtime }),
    members: () => ({
      started,
      workers: [...live].map((worker) => ({
        pid: worker.pid ?? 0,
        startedAtMs: startedAtMs.get(worker) ?? 0,
        counters: worker.counters,
      })),
    }),
    drain,
  }
}

/** Twice the last one for a worker that dies again and again; none after a long life. */
function pauseAfter(livedMs: number, lastPauseMs: number): number {
  return livedMs >= HEALTHY_MS ? 0 : Math.min(Math.max(lastPauseMs * 2, LEAST_PAUSE_MS), MOST_PAUSE_MS)
}

function messageOf(error: Error): string {
  return error.message
}

function sum(workers: readonly WorkerProcess[]): WorkerCounters {
  const total = { connections: 0, handshakes: 0, refused: 0, contexts: 0 }
  for (const { counters } of workers) {
    if (counters === null) continue
    total.connections += counters.connections
    total.handshakes += counters.handshakes
    total.refused += counters.refused
    total.contexts += counters.contexts
  }
  return total
}
