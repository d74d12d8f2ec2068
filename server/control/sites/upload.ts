import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { AppError } from '../errors.ts'
import { sizeText } from './archive-budget.ts'
import { storageError } from './blobs.ts'

/** A request's body on its way in. */
export type Upload = {
  /** Read once. After a refusal it is not destroyed at once, so that the caller can still answer. */
  readonly body: Readable
  /** The Content-Length that was announced, or null. */
  readonly announcedBytes: number | null
}

/** How long the rest of a refused body is read and thrown away, so that the sender gets to see the answer. */
const LINGER_MS = 10_000

/**
 * Writes a body to a new file. Throws PAYLOAD_TOO_LARGE above `maxBytes` (at once when announced),
 * INVALID_INPUT when the sender went away, STORAGE_FULL, and the signal's reason.
 */
export async function receiveUpload(
  upload: Upload,
  file: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<void> {
  let bytes = 0
  const stop = (): void => {
    upload.body.destroy(signal.reason as Error)
  }
  signal.addEventListener('abort', stop, { once: true })
  try {
    if ((upload.announcedBytes ?? 0) > maxBytes) throw tooLarge(maxBytes)
    await using handle = await open(file, 'wx', 0o600)
    for await (const chunk of upload.body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > maxBytes) throw tooLarge(maxBytes)
      await handle.writeFile(chunk)
    }
  } catch (error) {
    linger(upload.body)
    signal.throwIfAborted()
    throw uploadError(error)
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** A connection that is closed with unread bytes is reset, and the answer with it. */
function linger(body: Readable): void {
  if (body.destroyed || body.readableEnded) return
  const timer = setTimeout(() => body.destroy(), LINGER_MS)
  timer.unref()
  body.once('close', () => clearTimeout(timer))
  body.on('error', () => undefined)
  body.resume()
}

function tooLarge(maxBytes: number): AppError {
  return new AppError(
    'PAYLOAD_TOO_LARGE',
    `The archive is larger than ${sizeText(maxBytes)}, which is the limit here. Leave something out, or ask for a larger plan.`,
  )
}

function uploadError(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ABORT_ERR') {
    return new AppError('INVALID_INPUT', 'The upload ended before all of it had come. Upload it again.', {
      cause: error,
    })
  }
  return storageError(error)
}
