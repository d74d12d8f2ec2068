import { writeSync } from 'node:fs'

const levels = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60 } as const

/** Names of the levels, as in `NAMEPLATE_LOG_LEVEL`. */
export type LogLevel = keyof typeof levels

let threshold: LogLevel = 'info'

/** What is below `level` is not written from here on. */
export function setWorkerLogLevel(level: LogLevel): void {
  threshold = level
}

/**
 * The log of a worker: the same JSON lines as the supervisor's, written without a library that both
 * runtimes would have to agree on. Standard error may be gone (its reader was killed): then nothing
 * is written and the worker goes on.
 */
export function workerLog(
  level: 'info' | 'warn' | 'error',
  text: string,
  fields: Readonly<Record<string, unknown>> = {},
): void {
  if (levels[level] < levels[threshold]) return
  const line = { level: levels[level], time: Date.now(), part: 'worker', pid: process.pid, ...fields, msg: text }
  try {
    writeSync(2, `${JSON.stringify(line)}\n`)
  } catch {
    // Nobody reads.
  }
}
