import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isDigest } from '../contract/ids.ts'
import { MAX_MANIFEST_BYTES, type Manifest, manifestBlobs } from '../contract/manifest.ts'
import { isShortage } from './http/blob-faults.ts'

/** A blob that nothing needs is kept so long: a worker may be about to open it. */
const UNUSED_GRACE_MS = 15 * 60_000
/** What is read at a time when a blob is checked: some tenths of a millisecond of work. */
const CHECK_PIECE_BYTES = 256 * 1024

/** What was received is not what was asked for. */
export class BlobError extends Error {
  override name = 'BlobError'
}

/** The control plane does not have the blob. */
export class MissingBlobError extends BlobError {
  override name = 'MissingBlobError'
}

/** How closely a blob is looked at: whether it is there with its length, or byte by byte by its digest. */
export type BlobDepth = 'length' | 'bytes'

/** Content of releases on the edge's own disk: `<folder>/<2 hex>/<digest>`. One process writes. */
export type EdgeBlobs = {
  has(digest: string): Promise<boolean>
  /** Whether a blob is here as it should be; without `bytes` any length will do. `pause` is awaited between its pieces. */
  check(
    ref: { readonly digest: string; readonly bytes?: number },
    depth: BlobDepth,
    pause?: () => Promise<void>,
  ): Promise<boolean>
  /** Takes a blob away that is not what its name says. Nothing where there is none. */
  remove(digest: string): Promise<void>
  /** Writes a blob from its bytes; it appears only when its digest is right and it is on disk. Throws `BlobError`. */
  write(digest: string, content: AsyncIterable<Buffer>): Promise<void>
  /** Makes the names of new blobs durable: call before a record that needs them is served. */
  flush(): Promise<void>
  /** A manifest that is here. Throws `BlobError` when it is none. */
  manifest(digest: string): Promise<Manifest>
  /**
   * Deletes blobs that no manifest of `needed` has used for 15 minutes. Does nothing when one of these
   * is here but cannot be read, and reads none when nothing has changed since nothing was left to delete.
   * Returns how many went.
   */
  collect(needed: readonly string[], nowMs: number): Promise<number>
  /** Removes what a killed process left behind. For the start. */
  clearTemporary(): Promise<void>
}

/** The blobs of a folder, which is made when missing. */
export function createEdgeBlobs(folder: string): EdgeBlobs {
  const temporary = join(folder, 'tmp')
  const pathOf = (digest: string): string => join(folder, digest.slice(0, 2), digest)
  const dirty = new Set<string>()
  const unusedSince = new Map<string, number>()
  let writes = 0
  /** What the last collection found to be all that is here; null: there may be more. */
  let settled: { readonly needed: ReadonlySet<string>; readonly writes: number } | null = null

  /** Deletes what has been unused for long enough, and remembers since when the others are. */
  const sweep = async (unused: ReadonlySet<string>, nowMs: number): Promise<number> => {
    for (const digest of unusedSince.keys()) if (!unused.has(digest)) unusedSince.delete(digest)
    let removed = 0
    for (const digest of unused) {
      const sinceMs = unusedSince.get(digest) ?? nowMs
      unusedSince.set(digest, sinceMs)
      if (nowMs - sinceMs < UNUSED_GRACE_MS) continue
      await rm(pathOf(digest), { force: true })
      unusedSince.delete(digest)
      removed++
    }
    return removed
  }
  const has = (digest: string): Promise<boolean> => isFile(pathOf(digest))
  const manifest = async (digest: string): Promise<Manifest> => {
    const { size } = await stat(pathOf(digest))
    if (size > MAX_MANIFEST_BYTES) throw new BlobError(`the manifest ${digest} is too large`)
    return parseManifest(digest, await readFile(pathOf(digest), 'utf8'))
  }
  return {
    has,
    manifest,
    async check({ digest, bytes }, depth, pause) {
      const found = await lengthOf(pathOf(digest))
      if (found === null || (bytes !== undefined && found !== bytes)) return false
      return depth === 'length' || (await hasDigest(pathOf(digest), digest, pause))
    },
    async remove(digest) {
      writes++
      await rm(pathOf(digest), { force: true, recursive: true })
    },
    async write(digest, content) {
      await mkdir(temporary, { recursive: true, mode: 0o750 })
      const draft = join(temporary, randomUUID())
      try {
        await writeChecked(draft, digest, content)
        await mkdir(join(folder, digest.slice(0, 2)), { recursive: true, mode: 0o750 })
        writes++
        await rename(draft, pathOf(digest))
        dirty.add(join(folder, digest.slice(0, 2)))
      } finally {
        await rm(draft, { force: true })
      }
    },
    async flush() {
      for (const path of [...dirty, folder]) await syncFolder(path)
      dirty.clear()
    },
    async collect(needed, nowMs) {
      const asked = { needed: new Set(needed), writes }
      if (settled?.writes === writes && isSame(settled.needed, asked.needed)) return 0
      const used = await usedBlobs(needed, has, manifest)
      const unused = new Set((await listBlobs(folder)).filter((digest) => !used.has(digest)))
      const removed = await sweep(unused, nowMs)
      settled = unusedSince.size === 0 ? asked : null
      return removed
    },
    clearTemporary: () => rm(temporary, { recursive: true, force: true }),
  }
}

async function writeChecked(path: string, digest: string, content: AsyncIterable<Buffer>): Promise<void> {
  const file = await open(path, 'wx', 0o640)
  try {
    const hash = createHash('sha256')
    for await (const chunk of content) {
      hash.update(chunk)
      await writeAll(file, chunk)
    }
    const found = hash.digest('hex')
    if (found !== digest) throw new BlobError(`a blob has the digest ${found} where ${digest} was asked for`)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Whether the bytes are those of the digest; an error of the disk says that they are not. */
async function hasDigest(path: string, digest: string, pause?: () => Promise<void>): Promise<boolean> {
  const hash = createHash('sha256')
  try {
    for await (const piece of createReadStream(path, { highWaterMark: CHECK_PIECE_BYTES })) {
      hash.update(piece)
      await pause?.()
    }
  } catch (error) {
    if (isShortage(error)) throw error
    return false
  }
  return hash.digest('hex') === digest
}

async function writeAll(file: FileHandle, chunk: Buffer): Promise<void> {
  let offset = 0
  while (offset < chunk.length) offset += (await file.write(chunk, offset)).bytesWritten
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

async function usedBlobs(
  manifests: readonly string[],
  has: EdgeBlobs['has'],
  read: EdgeBlobs['manifest'],
): Promise<Set<string>> {
  const used = new Set<string>(manifests)
  for (const digest of new Set(manifests)) {
    if (!(await has(digest))) continue
    for (const ref of manifestBlobs(await read(digest))) used.add(ref.digest)
  }
  return used
}

function isSame(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && a.isSubsetOf(b)
}

async function listBlobs(folder: string): Promise<string[]> {
  const digests: string[] = []
  for (const entry of await readdir(folder).catch(() => [])) {
    if (!/^[0-9a-f]{2}$/.test(entry)) continue
    for (const name of await readdir(join(folder, entry))) if (isDigest(name)) digests.push(name)
  }
  return digests
}

function parseManifest(digest: string, text: string): Manifest {
  try {
    const value = JSON.parse(text) as Manifest
    if (value.version === 1 && manifestBlobs(value).every((ref) => isDigest(ref.digest))) return value
  } catch {
    // Told below, without the content.
  }
  throw new BlobError(`the manifest ${digest} cannot be read by this version`)
}

async function isFile(path: string): Promise<boolean> {
  return (await lengthOf(path)) !== null
}

/** Null where there is no file. */
async function lengthOf(path: string): Promise<number | null> {
  try {
    const found = await stat(path)
    return found.isFile() ? found.size : null
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
