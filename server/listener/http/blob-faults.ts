import { createRecent } from '../recent.ts'

/** A blob that is missing is told of so often, however many ask for it. */
const AGAIN_MS = 5_000
const MAX_REMEMBERED = 1_000

/** Told that a blob is not on disk as it should be. Must not throw. */
export type BlobFault = (digest: string, kind: 'manifest' | 'file') => void

/** Passes a fault on once in a while. */
export function createBlobFaults(tell: BlobFault): BlobFault {
  const toldAtMs = createRecent<number>(MAX_REMEMBERED)
  return (digest, kind) => {
    const nowMs = performance.now()
    if (nowMs - (toldAtMs.get(digest) ?? Number.NEGATIVE_INFINITY) < AGAIN_MS) return
    toldAtMs.set(digest, nowMs)
    tell(digest, kind)
  }
}

/** Whether an error of the file system says nothing of the file: there were no descriptors or no memory. */
export function isShortage(error: unknown): boolean {
  const { code } = (error ?? {}) as NodeJS.ErrnoException
  return code === 'EMFILE' || code === 'ENFILE' || code === 'ENOMEM'
}
