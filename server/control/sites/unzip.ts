import { isUtf8 } from 'node:buffer'
import { crc32 } from 'node:zlib'
import { type Entry, getFileNameLowLevel, openPromise, type ZipFile } from 'yauzl'
import { archivePath } from './archive-path.ts'
import { type ArchiveReading, broken, refused } from './archive-reading.ts'

/** Bits of the upper half of `externalFileAttributes`, as Unix tools write them (stat.h). */
const S_IFMT = 0o170000
const S_IFDIR = 0o040000
const S_IFREG = 0o100000
const S_IFLNK = 0o120000

const ENCRYPTED = 0x1

/** Reads a .zip file: its central directory alone says what is in it. Throws as `readArchive` does. */
export async function readZip(reading: ArchiveReading): Promise<void> {
  const zip = await openPromise(reading.file, { decodeStrings: false, autoClose: false })
  try {
    for await (const entry of zip.eachEntry()) {
      reading.signal.throwIfAborted()
      reading.budget.entry()
      await readEntry(zip, entry, reading)
    }
  } finally {
    zip.close()
  }
}

async function readEntry(zip: ZipFile, entry: Entry, reading: ArchiveReading): Promise<void> {
  const name = entryName(entry)
  const place = archivePath(name)
  if (place.kind === 'refuse') throw refused(name, place.reason)
  const isFolder = checkKind(entry, name)
  if (isFolder || place.kind === 'skip') return
  if ((entry.generalPurposeBitFlag & ENCRYPTED) !== 0) {
    throw refused(name, 'is encrypted. Make the archive without a password')
  }
  if (entry.compressionMethod !== 0 && entry.compressionMethod !== 8) {
    throw refused(name, 'is compressed in a way that is not known here. Make the archive with ordinary "deflate"')
  }
  reading.budget.file()
  await reading.onFile(place.path, name, contentOf(zip, entry, name, reading))
}

/** UTF-8 where it is valid: macOS writes it without the flag that says so. Else code page 437. */
function entryName(entry: Entry): string {
  const { fileNameRaw, generalPurposeBitFlag, extraFields } = entry
  const flags = isUtf8(fileNameRaw) ? generalPurposeBitFlag | 0x800 : generalPurposeBitFlag
  return getFileNameLowLevel(flags, fileNameRaw, extraFields, true)
}

/** Whether it is a folder. Throws ARCHIVE_REFUSED for what is neither folder nor file. */
function checkKind(entry: Entry, name: string): boolean {
  const type = (entry.externalFileAttributes >>> 16) & S_IFMT
  if (type === S_IFLNK) throw refused(name, 'is a link. Put the file itself there')
  if (type !== 0 && type !== S_IFDIR && type !== S_IFREG) throw refused(name, 'is no ordinary file. Leave it out')
  return type === S_IFDIR || name.endsWith('/')
}

async function* contentOf(
  zip: ZipFile,
  entry: Entry,
  name: string,
  { budget, signal }: ArchiveReading,
): AsyncGenerator<Uint8Array> {
  const stream = await zip.openReadStreamPromise(entry)
  let sum = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    signal.throwIfAborted()
    budget.bytes(chunk.length)
    sum = crc32(chunk, sum)
    yield chunk
  }
  if (sum !== entry.crc32) throw broken(`the checksum of ${JSON.stringify(name)} is wrong`)
}
