import { readFile, stat } from 'node:fs/promises'
import { MAX_MANIFEST_BYTES, type Manifest, type ManifestFile } from '../../contract/manifest.ts'
import { type BlobFault, isShortage } from './blob-faults.ts'
import { blobPath, ContentError, isContentOf } from './content.ts'
import { MANIFEST_CACHE_BYTES } from './limits.ts'
import { createLru } from './lru.ts'

/** A release as a request needs it. */
export type ReleaseFiles = {
  /** By decoded path without the leading slash. A path that is not in it does not exist. */
  readonly files: ReadonlyMap<string, ManifestFile>
  /** Last-Modified of every file (RFC 9110 section 5.6.7). */
  readonly lastModified: string
}

/** Manifests by digest, parsed once and kept within a bound. */
export type ManifestCache = {
  /** Throws `ContentError` when the manifest is missing or no manifest. */
  get(digest: string): Promise<ReleaseFiles>
  /** The same, where it is in memory already. */
  peek(digest: string): ReleaseFiles | undefined
}

/** Parsed manifests weigh about three times their text. */
const WEIGHT = 3

/** Opens a folder of blobs. Simultaneous first requests read a manifest once; `onFault` hears of one that is not right. */
export function createManifestCache(blobsFolder: string, onFault: BlobFault = () => {}): ManifestCache {
  const parsed = createLru<ReleaseFiles>(MANIFEST_CACHE_BYTES)
  const reading = new Map<string, Promise<ReleaseFiles>>()
  const read = async (digest: string): Promise<ReleaseFiles> => {
    try {
      const bytes = await readWhole(blobPath(blobsFolder, digest), digest)
      const release = parseManifest(bytes.toString(), digest)
      parsed.set(digest, release, bytes.length * WEIGHT)
      return release
    } catch (error) {
      if (!isShortage((error as Error).cause)) onFault(digest, 'manifest')
      throw error
    } finally {
      reading.delete(digest)
    }
  }
  return {
    async get(digest) {
      const known = parsed.get(digest)
      if (known !== undefined) return known
      const pending = reading.get(digest) ?? read(digest)
      reading.set(digest, pending)
      return pending
    },
    peek: (digest) => parsed.get(digest),
  }
}

async function readWhole(path: string, digest: string): Promise<Buffer> {
  try {
    const { size } = await stat(path)
    if (size > MAX_MANIFEST_BYTES) throw new ContentError(`manifest of ${size} bytes`)
    const bytes = await readFile(path)
    if (isContentOf(digest, bytes)) return bytes
    throw new ContentError('it is damaged')
  } catch (cause) {
    throw new ContentError('manifest cannot be read', { cause })
  }
}

function parseManifest(text: string, digest: string): ReleaseFiles {
  try {
    const manifest = JSON.parse(text) as Manifest
    const files = new Map(Object.entries(manifest.files))
    return { files, lastModified: new Date(manifest.createdAt).toUTCString() }
  } catch (cause) {
    throw new ContentError(`manifest ${digest} cannot be parsed`, { cause })
  }
}
