import { open } from 'node:fs/promises'
import { AppError } from '../errors.ts'
import { createArchiveBudget } from './archive-budget.ts'
import { type ArchiveReading, broken, type OnFile, refused } from './archive-reading.ts'
import { readTarGz } from './untar.ts'
import { readZip } from './unzip.ts'

/** What `readArchive` needs. */
export type ArchiveOptions = {
  /** Most bytes that the files may have together. */
  readonly maxBytes: number
  /** Ends the reading; throws its reason. */
  readonly signal: AbortSignal
  readonly onFile: OnFile
}

/**
 * Reads a .zip or .tar.gz file (told apart by its first bytes, not by its name) and hands over each
 * file that is kept, one after the other. Nothing is written here. Throws ARCHIVE_BROKEN when it
 * cannot be read, ARCHIVE_REFUSED for paths, links, devices, encryption, duplicates and bombs, and
 * PAYLOAD_TOO_LARGE above `maxBytes`.
 */
export async function readArchive(file: string, options: ArchiveOptions): Promise<void> {
  const { format, bytes } = await sniff(file)
  const seen = new Set<string>()
  const onFile: OnFile = async (path, name, content) => {
    if (seen.has(path)) throw refused(name, 'is in the archive twice. Leave one of them out')
    seen.add(path)
    await options.onFile(path, name, content)
  }
  const budget = createArchiveBudget(bytes, options.maxBytes)
  const reading: ArchiveReading = { file, budget, signal: options.signal, onFile }
  try {
    await (format === 'zip' ? readZip(reading) : readTarGz(reading))
  } catch (error) {
    options.signal.throwIfAborted()
    throw archiveError(error)
  }
}

async function sniff(file: string): Promise<{ format: 'zip' | 'tar.gz'; bytes: number }> {
  const handle = await open(file)
  try {
    const { size } = await handle.stat()
    const head = Buffer.alloc(4)
    await handle.read(head, 0, 4, 0)
    const magic = head.toString('latin1')
    if (magic === 'PK\x03\x04' || magic === 'PK\x05\x06') return { format: 'zip', bytes: size }
    if (magic.startsWith('\x1f\x8b')) return { format: 'tar.gz', bytes: size }
  } finally {
    await handle.close()
  }
  throw new AppError('ARCHIVE_BROKEN', 'This is neither a .zip nor a .tar.gz file. Pack your site as one of these.')
}

/** Errors of the disk and defects of our own stay what they are; all others are the archive's fault. */
function archiveError(error: unknown): unknown {
  if (error instanceof AppError || !(error instanceof Error) || 'syscall' in error) return error
  if (error instanceof TypeError && !('code' in error)) return error
  if (error.message === 'strong encryption is not supported') {
    return new AppError('ARCHIVE_REFUSED', 'The archive is encrypted. Make it without a password, then upload again.')
  }
  return broken(error.message.slice(0, 200), error)
}
