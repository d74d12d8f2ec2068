import { AppError } from '../errors.ts'
import type { ArchiveBudget } from './archive-budget.ts'
import { quoted } from './archive-path.ts'
import type { Content } from './blobs.ts'

/** Takes one file that is kept; reads `content` to its end. `name` is its name in the archive, for errors. */
export type OnFile = (path: string, name: string, content: Content) => Promise<void>

/** What the readers of both formats get. */
export type ArchiveReading = {
  readonly file: string
  readonly budget: ArchiveBudget
  readonly signal: AbortSignal
  readonly onFile: OnFile
}

/** The refusal of one entry; `reason` continues the sentence that begins with its name. */
export function refused(name: string, reason: string): AppError {
  return new AppError('ARCHIVE_REFUSED', `${quoted(name)} ${reason}, then upload again.`)
}

/** The archive cannot be read; `what` is wrong. */
export function broken(what: string, cause?: unknown): AppError {
  return new AppError(
    'ARCHIVE_BROKEN',
    `The archive is damaged or cut off (${what}). Make it again and upload again.`,
    {
      cause,
    },
  )
}
