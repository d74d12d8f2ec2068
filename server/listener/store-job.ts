import { closeSync, fsyncSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'

/** What a thread does with the file of an edge's records, on a connection of its own. */
export type StoreJob =
  /** Writes a consistent copy to `to`, which must not exist. */
  | { readonly type: 'copy'; readonly file: string; readonly to: string }
  /** Reads all of it. */
  | { readonly type: 'check'; readonly file: string }

/** What it says at the end: `code` is SQLite's, where it has failed by one. */
export type StoreJobResult = { readonly problem: string | null; readonly code: number | null }

/**
 * Entry of the thread: a copy of a million names takes seconds, and the supervisor has to answer meanwhile. A copy is
 * built row by row (VACUUM INTO), so that damage in the file ends it and is not copied.
 */
function run(job: StoreJob): string | null {
  const database = new DatabaseSync(job.file, { readOnly: true })
  try {
    database.exec('pragma busy_timeout = 2000')
    if (job.type === 'check') {
      const { quick_check: found } = database.prepare('pragma quick_check(1)').get() as { quick_check: string }
      return found === 'ok' ? null : found
    }
    database.prepare('vacuum into ?').run(job.to)
    sync(job.to)
    return null
  } finally {
    database.close()
  }
}

function sync(path: string): void {
  const file = openSync(path, 'r+')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

function resultOf(job: StoreJob): StoreJobResult {
  try {
    const problem = run(job)
    return { problem, code: problem === null ? null : 11 }
  } catch (error) {
    const { errcode } = error as { errcode?: unknown }
    return { problem: (error as Error).message, code: typeof errcode === 'number' ? errcode : null }
  }
}

parentPort?.postMessage(resultOf(workerData as StoreJob))
