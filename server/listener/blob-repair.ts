import { isDigest } from '../contract/ids.ts'
import { MAX_BLOB_BYTES } from '../contract/link.ts'
import { MAX_MANIFEST_BYTES, manifestBlobs } from '../contract/manifest.ts'
import type { Logger } from '../process/log.ts'
import { type BlobDepth, type EdgeBlobs, MissingBlobError } from './blobs.ts'

/** Blobs that may wait; more are told of again by the next visitor, or by the next audit. */
const MAX_WAITING = 10_000
/** An audit waits above this. */
const MANY = 1_000
/** Repairs between two looks at the sites that wait for new content. */
const PER_PASS = 100

/** What a fault was seen in: a manifest has a list of further blobs. */
export type BlobKind = 'manifest' | 'file'

/** Blobs of served sites that are not on disk as they should be, until they were fetched again. */
export type BlobRepair = {
  add(digest: string, kind: BlobKind): void
  /** Resolves when there is room for more than a few; at once while there is. */
  room(): Promise<void>
  /** Mends some of them, the oldest first. `failed`: try again later; `more`: there are others. */
  pass(): Promise<'done' | 'more' | 'failed'>
}

/**
 * Makes it. What is damaged is taken away before it is fetched anew, so that nobody is sent wrong bytes meanwhile.
 * `fetch` brings a blob that is not here, of at most `limit` bytes, and throws when it cannot be had.
 */
export function createBlobRepair(deps: {
  readonly blobs: EdgeBlobs
  readonly fetch: (digest: string, limit: number) => Promise<void>
  readonly signal: AbortSignal
  readonly log: Logger
}): BlobRepair {
  const { blobs, fetch, log, signal } = deps
  const waiting = new Map<string, BlobKind>()
  let waiters: (() => void)[] = []

  /** Brings a blob anew unless it is here as it should be. */
  const replace = async (ref: { digest: string; bytes?: number }, depth: BlobDepth, limit: number): Promise<void> => {
    if (signal.aborted || (await blobs.check(ref, depth))) return
    await blobs.remove(ref.digest)
    await fetch(ref.digest, limit)
    log.warn({ digest: ref.digest }, 'content was missing or damaged on disk; it was fetched again')
  }
  const mend = async (digest: string, kind: BlobKind): Promise<void> => {
    await replace({ digest }, 'bytes', kind === 'manifest' ? MAX_MANIFEST_BYTES : MAX_BLOB_BYTES)
    if (kind === 'manifest' && !signal.aborted)
      for (const ref of manifestBlobs(await blobs.manifest(digest))) await replace(ref, 'length', MAX_BLOB_BYTES)
    await blobs.flush()
  }
  const done = (digest: string): void => {
    waiting.delete(digest)
    if (waiting.size >= MANY) return
    for (const go of waiters) go()
    waiters = []
  }
  signal.addEventListener('abort', () => {
    for (const go of waiters) go()
  })
  return {
    add(digest, kind) {
      // A worker says it, and it names a file.
      if (!isDigest(digest) || waiting.size >= MAX_WAITING || waiting.get(digest) === 'manifest') return
      waiting.set(digest, kind)
    },
    room: () =>
      new Promise((resolve) => {
        if (waiting.size < MANY || signal.aborted) resolve()
        else waiters.push(resolve)
      }),
    async pass() {
      for (const [digest, kind] of [...waiting].slice(0, PER_PASS)) {
        if (signal.aborted) return 'done'
        try {
          await mend(digest, kind)
        } catch (err) {
          log.warn({ err, digest }, 'content that is missing or damaged on disk could not be fetched')
          // What nobody has any more is told of again by whoever asks for it.
          if (!(err instanceof MissingBlobError)) return 'failed'
        }
        done(digest)
      }
      return waiting.size > 0 ? 'more' : 'done'
    },
  }
}
