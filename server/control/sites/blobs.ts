import { createHash, randomUUID } from 'node:crypto'
import { rmSync, statSync, unlinkSync, utimesSync } from 'node:fs'
import { mkdir, open, readdir, rename, rm, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { isDigest } from '../../contract/ids.ts'
import type { BlobRef } from '../../contract/manifest.ts'
import { AppError } from '../errors.ts'
import { eachLimited } from '../jobs/limit.ts'

/** Files that are flushed to the disk at the same time. */
const FLUSHES = 8

/** What blobs are made from; a `Readable` is one too. Read once, to its end. */
export type Content = AsyncIterable<Uint8Array>

/**
 * Content by its SHA-256, as uploads write it and edges fetch it. One process writes; what is in the
 * store is whole and never changes.
 */
export type BlobStore = {
  /** Stores one blob. Throws STORAGE_FULL; then nothing is left behind. */
  put(content: Content): Promise<BlobRef>
  /** A blob to read, or null. The caller reads the stream to its end or destroys it. */
  open(digest: string): Promise<{ bytes: number; stream: Readable } | null>
  has(digest: string): Promise<boolean>
  /** Like `has`, and the sweep leaves the blob alone for the next hour. */
  touch(digest: string): Promise<boolean>
  /** A private place to prepare many blobs in, which appear together at `commit`. */
  stage(): Promise<BlobStaging>
  /** Deletes the blobs that `keep` refuses and that nobody has written or touched since `before`. Returns how many. */
  sweep(keep: (digest: string) => boolean, before: Date): Promise<number>
  /** Removes what a killed process left behind. Only for the start, before the first upload. */
  clearTemporary(): void
}

/** Blobs in the making; gone with `await using` unless committed. */
export type BlobStaging = AsyncDisposable & {
  /** A folder of its own for other temporary files of the same work. */
  readonly folder: string
  /** Writes one blob. Throws STORAGE_FULL. */
  add(content: Content): Promise<BlobRef>
  /** A staged blob's bytes. */
  read(ref: BlobRef): Promise<Buffer>
  /** Flushes all to the disk and moves them into the store. */
  commit(): Promise<void>
}

/** The blob store in a folder of the data directory: `<folder>/<2 hex>/<digest>`. */
export function createBlobStore(folder: string): BlobStore {
  const temporary = join(folder, 'tmp')
  const stage = async (): Promise<BlobStaging> => createStaging(folder, join(temporary, randomUUID()))
  return {
    stage,
    async put(content) {
      await using staging = await stage()
      const ref = await staging.add(content)
      await staging.commit()
      return ref
    },
    async open(digest) {
      const handle = isDigest(digest) ? await openIfThere(blobPath(folder, digest)) : null
      if (handle === null) return null
      const { size } = await handle.stat()
      return { bytes: size, stream: handle.createReadStream() }
    },
    async has(digest) {
      return isDigest(digest) && statSync(blobPath(folder, digest), { throwIfNoEntry: false }) !== undefined
    },
    async touch(digest) {
      return isDigest(digest) && touch(blobPath(folder, digest))
    },
    sweep: (keep, before) => sweep(folder, keep, before),
    clearTemporary: () => rmSync(temporary, { recursive: true, force: true }),
  }
}

/** Turns a full disk into STORAGE_FULL and leaves other errors as they are. */
export function storageError(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error
  return new AppError(
    'STORAGE_FULL',
    'There is no room left on the disk of this installation, so nothing was changed. Ask its administrator to make room, then try again.',
    { cause: error },
  )
}

async function createStaging(folder: string, own: string): Promise<BlobStaging> {
  const staged = new Map<string, { file: string; ref: BlobRef }>()
  let files = 0
  await mkdir(own, { recursive: true, mode: 0o700 }).catch(rethrowStorage)
  return {
    folder: own,
    async add(content) {
      files += 1
      const file = join(own, `blob-${files}`)
      const ref = await writeHashed(file, content).catch(rethrowStorage)
      if (staged.has(ref.digest)) await unlink(file)
      else staged.set(ref.digest, { file, ref })
      return ref
    },
    async read(ref) {
      const handle = await open(staged.get(ref.digest)?.file ?? blobPath(folder, ref.digest))
      try {
        return await handle.readFile()
      } finally {
        await handle.close()
      }
    },
    async commit() {
      await moveAll(folder, staged).catch(rethrowStorage)
      staged.clear()
    },
    async [Symbol.asyncDispose]() {
      await rm(own, { recursive: true, force: true })
    },
  }
}

async function writeHashed(file: string, content: Content): Promise<BlobRef> {
  const hash = createHash('sha256')
  let bytes = 0
  const handle = await open(file, 'wx', 0o600)
  try {
    for await (const chunk of content) {
      hash.update(chunk)
      bytes += chunk.length
      await handle.writeFile(chunk)
    }
  } finally {
    await handle.close()
  }
  return { digest: hash.digest('hex'), bytes }
}

/** A blob that is there already is touched instead: from here on the sweep leaves both kinds alone. */
async function moveAll(folder: string, staged: ReadonlyMap<string, { file: string }>): Promise<void> {
  const folders = new Set<string>()
  const makeFolder = async (digest: string): Promise<void> => {
    const sub = join(folder, digest.slice(0, 2))
    if (folders.has(sub)) return
    folders.add(sub)
    await mkdir(sub, { recursive: true, mode: 0o700 })
  }
  await eachLimited([...staged], FLUSHES, async ([digest, { file }]) => {
    await makeFolder(digest)
    const target = blobPath(folder, digest)
    if (touch(target)) return
    await flush(file)
    await rename(file, target)
  })
  await eachLimited([folder, ...folders], FLUSHES, flush)
}

async function flush(path: string): Promise<void> {
  const handle = await open(path)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * Looks at and deletes each blob without yielding between the two, so that a `touch` of this process
 * is never lost.
 */
async function sweep(folder: string, keep: (digest: string) => boolean, before: Date): Promise<number> {
  let swept = 0
  for (const sub of await namesIn(folder)) {
    if (!/^[0-9a-f]{2}$/.test(sub)) continue
    for (const digest of await namesIn(join(folder, sub))) {
      if (!isDigest(digest) || keep(digest)) continue
      const path = blobPath(folder, digest)
      const stats = statSync(path, { throwIfNoEntry: false })
      if (stats === undefined || stats.mtime >= before) continue
      unlinkSync(path)
      swept += 1
    }
  }
  return swept
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

async function openIfThere(path: string) {
  try {
    return await open(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

function touch(path: string): boolean {
  const now = new Date()
  try {
    utimesSync(path, now, now)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

/** `digest` has passed `isDigest`: digests come from edges too, and nothing else may become part of a path. */
function blobPath(folder: string, digest: string): string {
  return join(folder, digest.slice(0, 2), digest)
}

function rethrowStorage(error: unknown): never {
  throw storageError(error)
}
