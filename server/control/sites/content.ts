import {
  type BlobRef,
  type Encoding,
  MAX_MANIFEST_BYTES,
  type Manifest,
  type ManifestFile,
} from '../../contract/manifest.ts'
import { AppError } from '../errors.ts'
import { eachLimited } from '../jobs/limit.ts'
import { readArchive } from './archive.ts'
import { commonFolder } from './archive-path.ts'
import type { BlobStaging, BlobStore } from './blobs.ts'
import { type Compressor, MAX_COMPRESSED_BYTES, MIN_COMPRESSED_BYTES } from './compress.ts'
import { contentType } from './content-types.ts'

/** Files of one upload that are read back and compressed at the same time. */
const READS = 2

type Encoded = ManifestFile['encoded']

/** What a release's content comes to. */
export type ReleaseContent = { readonly manifestDigest: string; readonly files: number; readonly bytes: number }

/** What `prepareContent` needs. */
export type ContentOptions = {
  readonly staging: BlobStaging
  readonly blobs: Pick<BlobStore, 'touch'>
  readonly compress: Compressor
  /** Of the unpacked files together. */
  readonly maxBytes: number
  /** What the site serves now: the ready-made forms of files that did not change are taken from it. */
  readonly previous: Manifest | null
  readonly signal: AbortSignal
  /** For the manifest. */
  readonly now: Date
}

/**
 * Turns an archive into staged blobs: each file, its compressed forms, and the manifest that names
 * them. A single folder around everything is stripped. Throws as `readArchive` does, STORAGE_FULL,
 * and the signal's reason.
 */
export async function prepareContent(archive: string, options: ContentOptions): Promise<ReleaseContent> {
  const { staging, signal } = options
  const found = new Map<string, BlobRef>()
  await readArchive(archive, {
    maxBytes: options.maxBytes,
    signal,
    onFile: async (path, _name, content) => {
      found.set(path, await staging.add(content))
    },
  })
  if (found.size === 0) {
    throw new AppError(
      'ARCHIVE_REFUSED',
      'The archive holds no files (hidden ones are left out). Pack your site again.',
    )
  }
  const encoded = await encodeAll(found, options)
  const strip = (commonFolder([...found.keys()])?.length ?? -1) + 1
  const files = [...found].map(([path, ref]): [string, ManifestFile] => {
    const { type, isCompressible } = contentType(path)
    const forms = isCompressible ? (encoded.get(ref.digest) ?? {}) : {}
    return [path.slice(strip), { ...ref, type, encoded: forms }]
  })
  files.sort(([a], [b]) => (a < b ? -1 : 1))
  const manifest: Manifest = { version: 1, createdAt: options.now.toISOString(), files: Object.fromEntries(files) }
  const text = Buffer.from(JSON.stringify(manifest))
  if (text.length > MAX_MANIFEST_BYTES) {
    throw new AppError(
      'ARCHIVE_REFUSED',
      'The names of the files are too long together. Shorten paths, or leave files out, and pack your site again.',
    )
  }
  const { digest } = await staging.add(once(text))
  return { manifestDigest: digest, files: files.length, bytes: files.reduce((sum, [, file]) => sum + file.bytes, 0) }
}

/** The compressed forms of each content that shrinks, by its digest. */
async function encodeAll(
  found: ReadonlyMap<string, BlobRef>,
  options: ContentOptions,
): Promise<ReadonlyMap<string, Encoded>> {
  const known = knownEncodings(options.previous)
  const wanted = new Map<string, BlobRef>()
  for (const [path, ref] of found) {
    const isInRange = ref.bytes >= MIN_COMPRESSED_BYTES && ref.bytes <= MAX_COMPRESSED_BYTES
    if (isInRange && contentType(path).isCompressible) wanted.set(ref.digest, ref)
  }
  const encoded = new Map<string, Encoded>()
  await eachLimited([...wanted.values()], READS, async (ref) => {
    options.signal.throwIfAborted()
    const before = known.get(ref.digest)
    const isThere = before !== undefined && (await touchAll(options.blobs, before))
    encoded.set(ref.digest, isThere ? before : await encode(ref, options))
  })
  return encoded
}

async function encode(ref: BlobRef, { staging, compress }: ContentOptions): Promise<Encoded> {
  const forms = Object.entries(await compress(await staging.read(ref)))
  const refs: [Encoding, BlobRef][] = []
  for (const [encoding, content] of forms) refs.push([encoding as Encoding, await staging.add(once(content))])
  return Object.fromEntries(refs)
}

function knownEncodings(previous: Manifest | null): Map<string, Encoded> {
  const known = new Map<string, Encoded>()
  for (const file of Object.values(previous?.files ?? {})) {
    if (Object.keys(file.encoded).length > 0) known.set(file.digest, file.encoded)
  }
  return known
}

async function touchAll(blobs: Pick<BlobStore, 'touch'>, encoded: Encoded): Promise<boolean> {
  for (const ref of Object.values(encoded)) if (!(await blobs.touch(ref.digest))) return false
  return true
}

async function* once(content: Buffer): AsyncGenerator<Buffer> {
  yield content
}
