import type { FileHandle } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { createZstdDecompress } from 'node:zlib'
import { extract, type Header as TarHeader } from 'tar-stream'
import { OperatorError } from '../../process/operator-error.ts'
import { type EntryKind, entryKind, MAX_PART_BYTES } from './format.ts'

/** The file is no backup, or not whole. `message` says what is wrong with it and what to do. */
export class BackupFileError extends OperatorError {
  override name = 'BackupFileError'
}

/** One entry; its content has to be read to the end before the next one. */
export type ArchiveEntry = EntryKind & {
  readonly name: string
  readonly bytes: number
  readonly content: AsyncIterable<Buffer>
  /** The content at once, for what is held in memory. */
  read(): Promise<Buffer>
}

type TarEntry = AsyncIterable<Buffer> & { readonly header: TarHeader }

/**
 * Reads a backup from its beginning, entry by entry, in their order. An entry whose name no backup has, a link, or
 * anything but a plain file ends it. Throws `BackupFileError`.
 */
export async function* readArchive(file: FileHandle): AsyncGenerator<ArchiveEntry> {
  const entries = extract()
  const source = file.createReadStream({ start: 0, autoClose: false })
  const feeding = pipeline(source, createZstdDecompress(), entries)
  feeding.catch(() => undefined)
  try {
    for await (const entry of entries as AsyncIterable<TarEntry>) yield checked(entry)
    await feeding
  } catch (error) {
    throw damaged(error)
  } finally {
    entries.destroy()
    await feeding.catch(() => undefined)
  }
}

function checked(entry: TarEntry): ArchiveEntry {
  const { name, type, size = 0 } = entry.header
  const kind = type === 'file' ? entryKind(name) : null
  if (kind === null)
    throw new BackupFileError(`this is no backup of Nameplate: nothing named ${JSON.stringify(name)} is in one`)
  if (kind.kind !== 'blob' && size > MAX_PART_BYTES)
    throw new BackupFileError(`the backup is damaged: ${name} would have ${size} bytes; take another backup`)
  const content = guarded(entry)
  const read = async (): Promise<Buffer> => {
    const chunks: Buffer[] = []
    for await (const chunk of content) chunks.push(chunk)
    return Buffer.concat(chunks)
  }
  return { ...kind, name, bytes: size, content, read }
}

async function* guarded(entry: TarEntry): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of entry) yield chunk
  } catch (error) {
    throw damaged(error)
  }
}

/** What zstd and tar say of a file that is cut off or changed. Our own refusals and the system's errors stay. */
function damaged(error: unknown): unknown {
  if (error instanceof OperatorError || (error as NodeJS.ErrnoException).syscall !== undefined) return error
  const { message } = error as Error
  return new BackupFileError(
    `the backup is damaged or not whole (${message}): nothing of it was used; take another one`,
    { cause: error },
  )
}
