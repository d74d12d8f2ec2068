/**
 * The content of a release: one JSON blob that names every file by digest. An edge needs the
 * manifest and all blobs in it before it serves the release.
 */

/** Largest manifest: 20,000 files with all encodings are about 11 MB. While a worker parses one, its other visitors wait. */
export const MAX_MANIFEST_BYTES = 16 * 1024 * 1024

/** A blob: SHA-256 in hex, and its length. */
export type BlobRef = { readonly digest: string; readonly bytes: number }

/** Content encodings that a release may hold ready-made, best first. */
export const encodings = ['br', 'zstd', 'gzip'] as const

/** One of `encodings`. */
export type Encoding = (typeof encodings)[number]

/** One file of a release. */
export type ManifestFile = BlobRef & {
  /** The Content-Type header. */
  readonly type: string
  /** Smaller ready-made forms of the same content. */
  readonly encoded: { readonly [E in Encoding]?: BlobRef }
}

/** A release's files by path: no leading slash, `/` between segments, NFC, no dot segments. */
export type Manifest = {
  readonly version: 1
  /** RFC 3339: the Last-Modified of every file. */
  readonly createdAt: string
  readonly files: { readonly [path: string]: ManifestFile }
}

/** Every blob that a manifest needs, each once. */
export function manifestBlobs(manifest: Manifest): BlobRef[] {
  const byDigest = new Map<string, BlobRef>()
  for (const file of Object.values(manifest.files)) {
    byDigest.set(file.digest, { digest: file.digest, bytes: file.bytes })
    for (const ref of Object.values(file.encoded)) byDigest.set(ref.digest, ref)
  }
  return [...byDigest.values()]
}
