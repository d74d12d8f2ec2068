import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { type Extract, extract, type Header } from 'tar-stream'
import { archivePath } from './archive-path.ts'
import { type ArchiveReading, refused } from './archive-reading.ts'

/** One entry: its header, and its bytes to be read to the end. */
type Entry = AsyncIterable<Buffer> & { readonly header: Header }

/** Reads a .tar.gz file. All that comes out of gzip counts, also what is left out. Throws as `readArchive` does. */
export async function readTarGz(reading: ArchiveReading): Promise<void> {
  const { file, signal } = reading
  const entries = extract()
  const feeding = feed(file, reading, entries)
  feeding.catch(() => undefined)
  try {
    for await (const entry of entries as AsyncIterable<Entry>) await readEntry(entry, reading)
    await feeding
  } finally {
    entries.destroy()
    await feeding.catch(() => undefined)
  }
  signal.throwIfAborted()
}

function feed(file: string, { budget, signal }: ArchiveReading, entries: Extract): Promise<void> {
  async function* counted(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      budget.bytes(chunk.length)
      yield chunk
    }
  }
  return pipeline(createReadStream(file), createGunzip(), counted, entries, { signal })
}

async function readEntry(entry: Entry, { budget, onFile }: ArchiveReading): Promise<void> {
  budget.entry()
  const { name } = entry.header
  const place = archivePath(name)
  if (place.kind === 'refuse') throw refused(name, place.reason)
  const isFolder = checkKind(entry.header, name)
  if (isFolder || place.kind === 'skip') return drain(entry)
  budget.file()
  await onFile(place.path, name, entry)
}

/** Whether it is a folder. Throws ARCHIVE_REFUSED for what is neither folder nor file. */
function checkKind(header: Header, name: string): boolean {
  const { type, pax } = header
  if (type === 'directory') return true
  if (type === 'link' || type === 'symlink') throw refused(name, 'is a link. Put the file itself there')
  const isSparse = Object.keys((pax as object | null | undefined) ?? {}).some((key) => key.startsWith('GNU.sparse'))
  if ((type === 'file' || type === 'contiguous-file') && !isSparse) return false
  throw refused(name, 'is no ordinary file. Leave it out')
}

async function drain(entry: Entry): Promise<void> {
  for await (const _ of entry) {
    // Read past it: the next entry comes after its last byte.
  }
}
