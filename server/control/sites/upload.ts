import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { AppError } from '../errors.ts'
import { sizeText } from './archive-budget.ts'
import { storageError } from './blobs.ts'

/** A request's body on its way in. */
export type Upload = {
  /** Read once. It is not destroyed on a refusal, so that the caller can still answer. */
  readonly body: Readable
  /** The Content-Length that was announced, or null. */
  readonly announcedBytes: number | null
}

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
  if ((upload.announcedBytes ?? 0) > maxBytes) throw tooLarge(maxBytes)
  let bytes = 0
  const stop = (): void => {
    upload.body.destroy(signal.reason as Error)
  }
  signal.addEventListener('abort', stop, { once: true })
  try {
    await using handle = await open(file, 'wx', 0o600)
    for await (const chunk of upload.body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > maxBytes) throw tooLarge(maxBytes)
      await handle.writeFile(chunk)
    }
  } catch (error) {
    signal.throwIfAborted()
    throw uploadError(error)
  } finally {
    signal.removeEventListener('abort', stop)
  }
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
