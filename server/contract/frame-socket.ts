import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { encodeFrame, FrameError, FrameReader } from './frames.ts'

/** The peer said nothing for too long, or took nothing. */
export class SilenceError extends Error {
  override name = 'SilenceError'
}

/** The connection ended before what was to be sent was sent. */
export class ClosedError extends Error {
  override name = 'ClosedError'
}

/** Errors by which a peer that was killed, or a socket that we closed, ends a reader. */
const endings: ReadonlySet<unknown> = new Set(['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'])

/**
 * A socket that speaks frames. Reading is pulled, so that a slow reader slows its peer; every wait has
 * a limit in milliseconds, after which the socket is destroyed and `SilenceError` thrown.
 */
export type FrameSocket = {
  /** The next frame; undefined when the connection has ended. Throws `FrameError` or `SilenceError`. */
  receive(limitMs: number): Promise<unknown>
  /** The raw bytes that follow a frame, `bytes` of them. Throws when the peer ends before. */
  receiveRaw(bytes: number, limitMs: number): AsyncGenerator<Buffer>
  /** Sends a frame; resolves when the socket has room for more. Throws `ClosedError`. */
  send(message: unknown, limitMs: number): Promise<void>
  /** Sends raw bytes as they come from `stream`, at the pace that the peer takes them. */
  sendRaw(stream: Readable, signal: AbortSignal): Promise<void>
  /** Closes at once. */
  close(): void
}

/** Wraps a connected socket; nobody else may read from it. */
export function frameSocket(socket: Socket): FrameSocket {
  const reader = new FrameReader()
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  // Whoever waits hears of the error by its own call; without a listener it would end the process.
  socket.on('error', () => undefined)

  const more = async (limitMs: number): Promise<boolean> => {
    const next = await within(socket, limitMs, chunks.next()).catch((error: NodeJS.ErrnoException) => {
      if (!endings.has(error.code)) throw error
      return { done: true } as const
    })
    if (next.done !== true) reader.push(next.value)
    return next.done !== true
  }
  return {
    async receive(limitMs) {
      for (;;) {
        const message = reader.next()
        if (message !== undefined) return message
        if (!(await more(limitMs))) return undefined
      }
    },
    async *receiveRaw(bytes, limitMs) {
      let left = bytes
      while (left > 0) {
        const chunk = reader.takeRaw(left)
        left -= chunk.length
        if (chunk.length > 0) yield chunk
        else if (!(await more(limitMs))) throw new FrameError(`the peer ended ${left} bytes too early`)
      }
    },
    async send(message, limitMs) {
      if (socket.destroyed) throw new ClosedError('the connection is closed')
      if (!socket.write(encodeFrame(message))) await within(socket, limitMs, drained(socket))
    },
    sendRaw: (stream, signal) => pipeline(stream, socket, { end: false, signal }),
    close: () => void socket.destroy(),
  }
}

async function drained(socket: Socket): Promise<void> {
  const ended = new AbortController()
  try {
    await Promise.race([
      once(socket, 'drain', { signal: ended.signal }),
      once(socket, 'close', { signal: ended.signal }).then(() => {
        throw new ClosedError('the connection is closed')
      }),
    ])
  } finally {
    ended.abort()
  }
}

async function within<T>(socket: Socket, limitMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new SilenceError(`the peer was silent for ${limitMs} ms`))
      socket.destroy()
    }, limitMs)
  })
  try {
    return await Promise.race([work, expired])
  } finally {
    clearTimeout(timer)
  }
}
