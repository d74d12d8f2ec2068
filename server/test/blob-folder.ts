import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BlobRef, Manifest, ManifestFile } from '../contract/manifest.ts'

/** The name of a blob. */
export function digestOf(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}

/** Puts content where an edge has its blobs, without an edge. */
export type BlobFolder = {
  store(content: Buffer): BlobRef
  /** Stores a file; `encoded` names forms that were stored before. */
  file(content: string | Buffer, type: string, encoded?: ManifestFile['encoded']): ManifestFile
  /** Stores a manifest; its digest is what a site's record names. */
  release(files: Manifest['files'], createdAt?: string): string
}

/** Opens one. */
export function blobFolder(path: string): BlobFolder {
  const store = (content: Buffer): BlobRef => {
    const digest = digestOf(content)
    mkdirSync(join(path, digest.slice(0, 2)), { recursive: true, mode: 0o750 })
    writeFileSync(join(path, digest.slice(0, 2), digest), content, { mode: 0o640 })
    return { digest, bytes: content.length }
  }
  return {
    store,
    file: (content, type, encoded = {}) => ({ ...store(Buffer.from(content)), type, encoded }),
    release(files, createdAt = new Date().toISOString()) {
      const manifest: Manifest = { version: 1, createdAt, files }
      return store(Buffer.from(JSON.stringify(manifest))).digest
    },
  }
}
