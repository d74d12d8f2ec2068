import { readFile, stat } from 'node:fs/promises'
import { MAX_MANIFEST_BYTES, type Manifest, type ManifestFile } from '../../contract/manifest.ts'
import { blobPath, ContentError } from './content.ts'
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

/** Opens a folder of blobs. Simultaneous first requests read a manifest once. */
export function createManifestCache(blobsFolder: string): ManifestCache {
  const parsed = createLru<ReleaseFiles>(MANIFEST_CACHE_BYTES)
  const reading = new Map<string, Promise<ReleaseFiles>>()
  const read = async (digest: string): Promise<ReleaseFiles> => {
    try {
      const text = await readText(blobPath(blobsFolder, digest))
      const release = parseManifest(text, digest)
      parsed.set(digest, release, text.length * WEIGHT)
      return release
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

async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path)
    if (size > MAX_MANIFEST_BYTES) throw new ContentError(`manifest of ${size} bytes`)
    return await readFile(path, 'utf8')
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
