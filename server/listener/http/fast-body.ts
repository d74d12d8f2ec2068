import type { FileHandle } from 'node:fs/promises'
import type { Socket } from 'node:net'
import type { BlobRef } from '../../contract/manifest.ts'
import type { Deadlines } from '../deadlines.ts'
import type { Content } from './content.ts'
import {
  FILE_PIECE_BYTES,
  MANY_DOWNLOADS,
  MAX_CACHED_FILE_BYTES,
  SMALL_PIECE_BYTES,
  STALL_BYTES_PER_MS,
  STALL_MS,
} from './limits.ts'

/** A body that is ready to be sent in pieces; nothing of it has left yet. */
export type FastBody = {
  /** Sends it at the reader's pace; resolves with how many bytes were taken. Fewer than all: the connection is gone. */
  send(socket: Socket): Promise<number>
}

/** Opens bodies that are too long for one write. */
export type FastBodies = {
  /** Throws `ContentError`. Whoever opens a body sends it, which also closes it. */
  open(ref: BlobRef, siteId: string): Promise<FastBody>
}

/** Makes it for one worker: it counts downloads, so that one site's slow readers cost bounded memory. */
export function createFastBodies(content: Content, deadlines: Deadlines): FastBodies {
  const downloads = new Map<string, number>()
  const count = (siteId: string, change: 1 | -1): number => {
    const now = (downloads.get(siteId) ?? 0) + change
    if (now === 0) downloads.delete(siteId)
    else downloads.set(siteId, now)
    return now
  }
  return {
    async open(ref, siteId) {
      if (ref.bytes <= MAX_CACHED_FILE_BYTES) {
        const bytes = await content.bytes(ref)
        return { send: (socket) => sendBytes(socket, bytes, deadlines) }
      }
      const file = await content.open(ref)
      return {
        async send(socket) {
          const pieceBytes = count(siteId, 1) > MANY_DOWNLOADS ? SMALL_PIECE_BYTES : FILE_PIECE_BYTES
          try {
            return await sendFile(socket, file, ref.bytes, pieceBytes, deadlines)
          } finally {
            count(siteId, -1)
            await file.close()
          }
        },
      }
    },
  }
}

async function sendBytes(socket: Socket, bytes: Uint8Array, deadlines: Deadlines): Promise<number> {
  const write = pieceWriter(socket, deadlines)
  for (let at = 0; at < bytes.length; at += FILE_PIECE_BYTES) {
    if (!(await write(bytes.subarray(at, at + FILE_PIECE_BYTES)))) return at
  }
  return bytes.length
}

/** Two buffers in turn: one is filled while the other leaves. */
async function sendFile(
  socket: Socket,
  file: FileHandle,
  bytes: number,
  pieceBytes: number,
  deadlines: Deadlines,
): Promise<number> {
  const write = pieceWriter(socket, deadlines)
  const buffers = [Buffer.allocUnsafeSlow(pieceBytes), Buffer.allocUnsafeSlow(pieceBytes)] as const
  let isSent = Promise.resolve(true)
  let sent = 0
  for (let at = 0, turn = 0; at < bytes; turn += 1) {
    const buffer = buffers[turn % 2] as Buffer
    const { bytesRead } = await file.read(buffer, 0, Math.min(pieceBytes, bytes - at), at)
    if (!(await isSent)) return sent
    sent = at
    // The file got shorter: an answer that breaks off is seen as one.
    if (bytesRead === 0) return sent
    isSent = write(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
  return (await isSent) ? bytes : sent
}

/** Writes a piece and waits until its bytes may be used again; false when the connection is gone. Who stalls is cut off. */
function pieceWriter(socket: Socket, deadlines: Deadlines): (piece: Uint8Array) => Promise<boolean> {
  return (piece) =>
    new Promise((resolve) => {
      if (socket.destroyed) return resolve(false)
      const stall = deadlines.arm(STALL_MS + piece.length / STALL_BYTES_PER_MS, () => void socket.destroy())
      const done = (isSent: boolean): void => {
        stall.clear()
        socket.off('close', gone)
        resolve(isSent)
      }
      const gone = (): void => done(false)
      socket.once('close', gone)
      socket.write(piece, (error) => done(error === null || error === undefined))
    })
}
