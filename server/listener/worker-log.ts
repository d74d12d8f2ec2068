import { writeSync } from 'node:fs'

/** Says one thing about this worker. */
export type WorkerLog = (
  level: 'info' | 'warn' | 'error',
  text: string,
  fields?: Readonly<Record<string, unknown>>,
) => void

const levels = { info: 30, warn: 40, error: 50 } as const

/**
 * The log of a worker: the same JSON lines as the supervisor's, written without a library that both
 * runtimes would have to agree on. Standard error may be gone (its reader was killed): then nothing
 * is written and the worker goes on.
 */
export const workerLog: WorkerLog = (level, text, fields = {}) => {
  const line = { level: levels[level], time: Date.now(), part: 'worker', pid: process.pid, ...fields, msg: text }
  try {
    writeSync(2, `${JSON.stringify(line)}\n`)
  } catch {
    // Nobody reads.
  }
}
