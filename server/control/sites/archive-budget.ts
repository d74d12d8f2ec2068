import { AppError } from '../errors.ts'

/** Most files that a release may have. */
export const MAX_FILES = 20_000
/** Most entries that are looked at: folders and what is left out count too. */
const MAX_ENTRIES = 100_000
/** An archive may grow to this size whatever its own size is. */
const FREE_BYTES = 32 * 1024 * 1024
/** Above `FREE_BYTES`: how many times its own size. DEFLATE ends at 1,032; sites are at 3 to 50. */
const MAX_RATIO = 200

/** Counts what an archive turns into WHILE it is read, so that a bomb stops early. All methods throw. */
export type ArchiveBudget = {
  /** One more entry of any kind. */
  entry(): void
  /** One more file that is kept. */
  file(): void
  /** So many more bytes came out of the decompressor. */
  bytes(count: number): void
}

/** A budget for an archive of `archiveBytes` that may unpack to `maxBytes` of files. */
export function createArchiveBudget(archiveBytes: number, maxBytes: number): ArchiveBudget {
  const ratioBytes = Math.max(FREE_BYTES, archiveBytes * MAX_RATIO)
  let entries = 0
  let files = 0
  let bytes = 0
  return {
    entry() {
      entries += 1
      if (entries > MAX_ENTRIES) throw tooMany(MAX_ENTRIES, 'entries')
    },
    file() {
      files += 1
      if (files > MAX_FILES) throw tooMany(MAX_FILES, 'files')
    },
    bytes(count) {
      bytes += count
      if (bytes > maxBytes) {
        throw new AppError(
          'PAYLOAD_TOO_LARGE',
          `The archive unpacks to more than ${sizeText(maxBytes)}, which is the limit here. Leave something out.`,
        )
      }
      if (bytes > ratioBytes) {
        throw new AppError(
          'ARCHIVE_REFUSED',
          `The archive unpacks to more than ${MAX_RATIO} times its own size, as an archive made to do harm would. Leave out large files of repeated content.`,
        )
      }
    },
  }
}

/** A size as a person reads it. */
export function sizeText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`
}

function tooMany(limit: number, what: string): AppError {
  return new AppError('ARCHIVE_REFUSED', `The archive has more than ${limit.toLocaleString('en')} ${what}.`)
}
