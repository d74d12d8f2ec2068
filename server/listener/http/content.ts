import { createHash } from 'node:crypto'
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDigest } from '../../contract/ids.ts'
import type { BlobRef } from '../../contract/manifest.ts'
import { type BlobFault, isShortage } from './blob-faults.ts'
import { FILE_CACHE_BYTES, MAX_CACHED_FILE_BYTES } from './limits.ts'
import { createLru } from './lru.ts'

/** A blob that should be here is missing, has another length or cannot be read: our fault, not the visitor's. */
export class ContentError extends Error {
  override name = 'ContentError'
}

/** The blobs of an edge for reading. Content never changes under a digest, so nothing is ever invalidated. */
export type Content = {
  /** The whole blob, from memory when it is hot. For blobs up to `MAX_CACHED_FILE_BYTES`. Throws `ContentError`. */
  bytes(ref: BlobRef): Promise<Uint8Array>
  /** The same, where it is in memory already. */
  peek(ref: BlobRef): Uint8Array | undefined
  /** Opens a blob; the caller closes it. Throws `ContentError`. */
  open(ref: BlobRef): Promise<FileHandle>
}

/** Where a blob lies. Throws `ContentError` for what is no digest, so no other file can be named. */
export function blobPath(blobsFolder: string, digest: string): string {
  if (!isDigest(digest)) throw new ContentError('not a digest')
  return join(blobsFolder, digest.slice(0, 2), digest)
}

/** Whether bytes are those that a digest names. */
export function isContentOf(digest: string, bytes: Uint8Array): boolean {
  return createHash('sha256').update(bytes).digest('hex') === digest
}

/** Opens a folder of blobs with its cache in memory. What is read whole is checked; `onFault` hears of what is not right. */
export function createContent(blobsFolder: string, onFault: BlobFault = () => {}): Content {
  const hot = createLru<Uint8Array>(FILE_CACHE_BYTES)
  const reading = new Map<string, Promise<Uint8Array>>()
  const tell = (ref: BlobRef, error: unknown): void => {
    if (!isShortage((error as Error).cause)) onFault(ref.digest, 'file')
  }
  const read = async (ref: BlobRef): Promise<Uint8Array> => {
    try {
      const bytes = await readBlob(blobsFolder, ref)
      hot.set(ref.digest, bytes, bytes.length + 256)
      return bytes
    } catch (error) {
      tell(ref, error)
      throw error
    } finally {
      reading.delete(ref.digest)
    }
  }
  return {
    async bytes(ref) {
      const cached = hot.get(ref.digest)
      if (cached !== undefined) return cached
      const pending = reading.get(ref.digest) ?? read(ref)
      reading.set(ref.digest, pending)
      return pending
    },
    peek: (ref) => hot.get(ref.digest),
    async open(ref) {
      const handle = await open(blobPath(blobsFolder, ref.digest), 'r').catch((cause: unknown) => {
        const error = new ContentError(`blob ${ref.digest} cannot be opened`, { cause })
        tell(ref, error)
        throw error
      })
      const { size } = await handle.stat()
      if (size === ref.bytes) return handle
      await handle.close()
      onFault(ref.digest, 'file')
      throw new ContentError(`blob ${ref.digest} has ${size} bytes, not ${ref.bytes}`)
    },
  }
}

async function readBlob(blobsFolder: string, ref: BlobRef): Promise<Uint8Array> {
  if (ref.bytes > MAX_CACHED_FILE_BYTES) throw new ContentError(`blob ${ref.digest} is too large for memory`)
  const bytes = await readFile(blobPath(blobsFolder, ref.digest)).catch((cause: unknown) => {
    throw new ContentError(`blob ${ref.digest} cannot be read`, { cause })
  })
  if (bytes.length !== ref.bytes) throw new ContentError(`blob ${ref.digest} has ${bytes.length} bytes`)
  if (!isContentOf(ref.digest, bytes)) throw new ContentError(`blob ${ref.digest} is damaged`)
  return bytes
}
