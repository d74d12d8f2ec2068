import type { Manifest } from '../../contract/manifest.ts'
import type { BlobStore } from './blobs.ts'

/** A manifest by the digest of its blob, or null when there is no such blob. Throws when it is no manifest. */
export async function readManifest(blobs: Pick<BlobStore, 'open'>, digest: string): Promise<Manifest | null> {
  const blob = await blobs.open(digest)
  if (blob === null) return null
  const text = Buffer.concat(await blob.stream.toArray()).toString('utf8')
  return JSON.parse(text) as Manifest
}
