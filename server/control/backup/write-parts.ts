import { createHash } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import type { Readable } from 'node:stream'
import { manifestBlobs } from '../../contract/manifest.ts'
import type { BlobStore } from '../sites/blobs.ts'
import { readManifest } from '../sites/manifests.ts'
import type { ArchiveWriter } from './archive-writer.ts'
import { blobName, type Manifest, partName, sha256Of, type TablePart, type TableSummary } from './format.ts'
import type { Snapshot, Table } from './snapshot.ts'

/** A part is closed when it has this much. */
const PART_BYTES = 4 * 1024 * 1024

/** Told after each part. */
export type OnPart = (done: { readonly rows?: number; readonly blobs?: number; readonly bytes: number }) => void

/** Copies a table, a part at a time. */
export async function writeTable(
  archive: ArchiveWriter,
  snapshot: Snapshot,
  table: Table,
  onPart: OnPart,
): Promise<TableSummary> {
  const parts: TablePart[] = []
  let lines: string[] = []
  let bytes = 0
  const close = async (): Promise<void> => {
    if (lines.length === 0) return
    const content = Buffer.from(`${lines.join('\n')}\n`)
    const name = partName(table.name, parts.length + 1)
    await archive.add(name, content)
    parts.push({ name, bytes: content.length, sha256: sha256Of(content), rows: lines.length })
    onPart({ rows: lines.length, bytes: content.length })
    lines = []
    bytes = 0
  }
  for await (const page of snapshot.rows(table)) {
    for (const text of page) {
      const line = JSON.stringify(text)
      lines.push(line)
      bytes += line.length
      if (bytes >= PART_BYTES) await close()
    }
  }
  await close()
  return { ...table, rows: parts.reduce((sum, part) => sum + part.rows, 0), parts }
}

/** What `writeBlobs` has copied. */
type BlobSummary = Pick<Manifest, 'blobs' | 'missing'>

/**
 * Copies each blob that the releases of the snapshot need, once. What is not there, or is not what its name says, is
 * told and left out. The digests seen are kept in a temporary file, so that memory is bounded.
 */
export async function writeBlobs(
  archive: ArchiveWriter,
  snapshot: Snapshot,
  blobs: Pick<BlobStore, 'open'>,
  onPart: OnPart,
): Promise<BlobSummary> {
  using seen = digestSet()
  const names = createHash('sha256')
  const missing: { digest: string; reason: 'missing' | 'damaged' }[] = []
  let count = 0
  let total = 0
  const copy = async (digest: string): Promise<void> => {
    if (!seen.add(digest)) return
    const problem = await problemOf(blobs, digest)
    const blob = problem === null ? await blobs.open(digest) : null
    if (blob === null) {
      missing.push({ digest, reason: problem ?? 'missing' })
      return
    }
    await archive.addStream(blobName(digest), blob.bytes, blob.stream)
    names.update(`${digest}\n`)
    count += 1
    total += blob.bytes
    onPart({ blobs: 1, bytes: blob.bytes })
  }
  for await (const page of snapshot.manifests()) {
    for (const digest of page) {
      await copy(digest)
      const manifest = await readManifest(blobs, digest).catch(() => null)
      for (const blob of manifest === null ? [] : manifestBlobs(manifest)) await copy(blob.digest)
    }
  }
  return { blobs: { count, bytes: total, sha256: names.digest('hex') }, missing }
}

/** Read once before it is copied: an entry that was begun cannot be taken back. */
async function problemOf(blobs: Pick<BlobStore, 'open'>, digest: string): Promise<'missing' | 'damaged' | null> {
  const blob = await blobs.open(digest)
  if (blob === null) return 'missing'
  return (await digestOf(blob.stream)) === digest ? null : 'damaged'
}

async function digestOf(stream: Readable): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of stream as AsyncIterable<Buffer>) hash.update(chunk)
  return hash.digest('hex')
}

/** A set of digests in SQLite's own temporary file. `add` says whether it is new. */
function digestSet(): Disposable & { add(digest: string): boolean } {
  const db = new DatabaseSync('')
  db.exec(
    'pragma journal_mode = off; pragma synchronous = off; create table seen (digest blob primary key) without rowid',
  )
  const insert = db.prepare('insert or ignore into seen values (?)')
  return {
    add: (digest) => insert.run(Buffer.from(digest, 'hex')).changes === 1,
    [Symbol.dispose]: () => db.close(),
  }
}
