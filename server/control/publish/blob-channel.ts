import type { Readable } from 'node:stream'
import type { FrameSocket } from '../../contract/frame-socket.ts'
import { FrameError } from '../../contract/frames.ts'
import { isDigest } from '../../contract/ids.ts'
import type { BlobRequestMessage } from '../../contract/link.ts'

/** An edge keeps the channel for the next release; it connects again when it was closed. */
const IDLE_MS = 60_000
/** Longest time for one blob: 1 GiB at 2 MB/s. */
const BLOB_LIMIT_MS = 10 * 60_000
const SEND_LIMIT_MS = 30_000

/** Opens a blob by digest, or null when there is none. The reader ends or destroys the stream. */
export type OpenBlob = (digest: string) => Promise<{ readonly bytes: number; readonly stream: Readable } | null>

/** Answers requests for blobs, one after the other, until the connection ends or is idle. */
export async function serveBlobs(openBlob: OpenBlob, socket: FrameSocket): Promise<void> {
  for (;;) {
    const message = (await socket.receive(IDLE_MS)) as Partial<BlobRequestMessage> | null | undefined
    if (message === undefined) return
    const digest = message?.digest
    if (message?.type !== 'blob' || !isDigest(digest)) throw new FrameError('not a request for a blob')
    const blob = await openBlob(digest)
    await socket.send({ type: 'blob-head', digest, bytes: blob?.bytes ?? null }, SEND_LIMIT_MS)
    if (blob !== null) await socket.sendRaw(blob.stream, AbortSignal.timeout(BLOB_LIMIT_MS))
  }
}
