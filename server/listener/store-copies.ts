import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statfsSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { Logger } from '../process/log.ts'
import { type EdgeStore, isDamage, type Position, storeFiles } from './edge-store.ts'
import type { StoreJob, StoreJobResult } from './store-job.ts'

/** The first copy of a process, and the next ones while records change. Blobs that nothing needs stay longer than that. */
const FIRST_MS = 30_000
const EVERY_MS = 5 * 60_000
/** A copy may take this part of the time: the next one waits until it does. */
const WORK_SHARE = 0.02
/** Room on the disk that a copy must leave. */
const SPARE_BYTES = 64 * 1024 * 1024
/** Whether the file is damaged is looked at so often at most, whatever workers say. */
const CHECK_EVERY_MS = 30_000

/** What copies are made of, and who hears of damage. */
export type StoreCopyOptions = {
  readonly folder: string
  readonly store: Pick<EdgeStore, 'position'>
  /** The file is damaged, as it was found here. */
  readonly onDamage: (error: Error) => void
  readonly log: Logger
  /** Default: 30 s. */
  readonly firstMs?: number
}

/** Keeps a consistent copy of the records beside them, which `openEdgeStore` takes when their file is damaged. */
export type StoreCopies = {
  /** Somebody could not read the records: looks whether their file is damaged. */
  suspect(): void
  /** Resolves when no thread works any more. */
  close(): Promise<void>
}

/** Starts it. The copy of before is replaced by a whole one only. */
export function startStoreCopies(options: StoreCopyOptions): StoreCopies {
  const { folder, store, log } = options
  const closing = new AbortController()
  const { signal } = closing
  const { file, copy, draft } = storeFiles(folder)
  let checking: Promise<void> | null = null
  let checkedAtMs = Number.NEGATIVE_INFINITY

  const judge = ({ problem, code }: StoreJobResult): void => {
    if (problem === null) return
    const error = Object.assign(new Error(problem), { errcode: code })
    if (isDamage(error)) options.onDamage(error)
    else log.warn({ err: error }, 'the records of this edge could not be copied; trying again')
  }
  /** How long it took; null where nothing was done. */
  const copyOnce = async (): Promise<number | null> => {
    rmSync(draft, { force: true })
    if (!hasRoom(folder, file)) return null
    const sinceMs = performance.now()
    const result = await runJob({ type: 'copy', file, to: draft }, signal)
    judge(result)
    if (result.problem === null) {
      renameSync(draft, copy)
      syncFolder(folder)
    }
    rmSync(draft, { force: true })
    return performance.now() - sinceMs
  }
  let copied: Position | null = null
  /** Copies where something has changed; how long to wait then. */
  const pass = async (): Promise<number> => {
    const position = store.position()
    // In the middle of a snapshot there is nothing that one would want to go back to.
    if (position.feedId === null || isSame(position, copied)) return EVERY_MS
    const tookMs = await copyOnce()
    if (tookMs === null) return EVERY_MS
    copied = position
    return Math.max(EVERY_MS, tookMs / WORK_SHARE)
  }
  const run = async (): Promise<void> => {
    let waitMs = options.firstMs ?? FIRST_MS
    while (await slept(waitMs, signal)) {
      waitMs = await pass().catch((err: unknown) => {
        if (!signal.aborted) log.warn({ err }, 'the records of this edge could not be copied; trying again')
        return EVERY_MS
      })
    }
  }
  const running = run()
  return {
    suspect() {
      if (checking !== null || performance.now() - checkedAtMs < CHECK_EVERY_MS) return
      checkedAtMs = performance.now()
      checking = runJob({ type: 'check', file }, signal)
        .then(judge)
        .catch((err: unknown) => void (signal.aborted || log.warn({ err }, 'the records could not be checked')))
        .finally(() => {
          checking = null
        })
    },
    async close() {
      closing.abort()
      await Promise.all([running, checking])
    },
  }
}

/** Runs a job in a thread; one that is aborted ends at once. */
async function runJob(job: StoreJob, signal: AbortSignal): Promise<StoreJobResult> {
  const worker = new Worker(new URL('store-job.ts', import.meta.url), { workerData: job })
  const end = (): void => void worker.terminate()
  signal.addEventListener('abort', end)
  try {
    return await new Promise<StoreJobResult>((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
      worker.once('exit', () => reject(new Error('the thread has ended')))
      if (signal.aborted) end()
    })
  } finally {
    signal.removeEventListener('abort', end)
    await worker.terminate()
  }
}

function hasRoom(folder: string, file: string): boolean {
  const { bavail, bsize } = statfsSync(folder)
  const wal = existsSync(`${file}-wal`) ? statSync(`${file}-wal`).size : 0
  return bavail * bsize >= statSync(file).size + wal + SPARE_BYTES
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

function isSame(a: Position, b: Position | null): boolean {
  return b !== null && a.feedId === b.feedId && a.revision === b.revision
}

/** False: there is nothing more to do. */
async function slept(ms: number, signal: AbortSignal): Promise<boolean> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined)
  return !signal.aborted
}
