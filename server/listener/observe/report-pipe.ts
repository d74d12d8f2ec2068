import { fstatSync, write } from 'node:fs'

/** The descriptor on which a worker reports, apart from its commands and their answers. */
export const REPORT_FD = 3
/** Bytes that may wait for a supervisor that does not read. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024

/** The worker's end of the pipe for reports. */
export type ReportPipe = {
  /** Queues lines (each with its end). False: there is no room, or nobody reads any more; nothing was taken. */
  send(lines: string): boolean
  /** Resolves when what was taken is written, or cannot be. */
  flushed(): Promise<void>
}

/**
 * Writes from a thread of the runtime's pool, one write at a time, so that a supervisor that does not read
 * never holds up the event loop. After an error (the supervisor is gone) nothing is taken any more.
 */
export function createReportPipe(fd = REPORT_FD, maxWaitingBytes = MAX_WAITING_BYTES): ReportPipe {
  let waiting: Buffer[] = []
  let waitingBytes = 0
  let isWriting = false
  // A worker that was started without the pipe has something else there.
  let isBroken = !isSocket(fd)
  const settled: (() => void)[] = []

  const settle = (): void => {
    for (const done of settled.splice(0)) done()
  }
  const next = (): void => {
    if (isBroken || waiting.length === 0) {
      isWriting = false
      settle()
      return
    }
    isWriting = true
    const batch = Buffer.concat(waiting)
    waiting = []
    push(batch, 0)
  }
  const push = (batch: Buffer, from: number): void => {
    write(fd, batch, from, batch.length - from, null, (error, written) => {
      if (error !== null && error !== undefined && error.code !== 'EAGAIN') isBroken = true
      const upTo = from + (written ?? 0)
      if (!isBroken && upTo < batch.length) return void setTimeout(push, error ? 5 : 0, batch, upTo)
      waitingBytes -= batch.length
      next()
    })
  }
  return {
    send(lines) {
      const bytes = Buffer.from(lines)
      if (isBroken || waitingBytes + bytes.length > maxWaitingBytes) return false
      waiting.push(bytes)
      waitingBytes += bytes.length
      if (!isWriting) next()
      return true
    },
    async flushed() {
      if (isWriting) await new Promise<void>((resolve) => settled.push(resolve))
    },
  }
}

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket()
  } catch {
    return false
  }
}
