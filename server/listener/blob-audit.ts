import { setTimeout as sleep } from 'node:timers/promises'
import { manifestBlobs } from '../contract/manifest.ts'
import type { Logger } from '../process/log.ts'
import type { BlobDepth, EdgeBlobs } from './blobs.ts'

/** Of the time that an audit takes, this part is work; in the rest the machine is the visitors'. */
const WORK_SHARE = 0.2
/** Rests are taken together, as short ones cost more than they give. */
const LEAST_REST_MS = 20
/** After one that read everything. Disks that lose bits silently are rare; whoever reads a small blob checks it anyway. */
const INTERVAL_MS = 7 * 24 * 3_600_000
/** An audit that broke off begins anew after this. */
const RETRY_MS = 60_000
/** Digests that were checked are remembered, so that what many sites share is read once or a few times. */
const MAX_SEEN = 100_000

/** What an audit looks at, and whom it tells. */
export type BlobAuditOptions = {
  readonly blobs: Pick<EdgeBlobs, 'check' | 'manifest'>
  /** The manifests of all sites that are served. */
  readonly manifests: () => readonly string[]
  /** Told of each blob that is not what it should be; resolves when there is room for the next. */
  readonly onFault: (digest: string, kind: 'manifest' | 'file') => Promise<void>
  readonly log: Logger
}

/**
 * Looks whether the content of all served sites is on disk: at the start quickly, by names and lengths, then byte by
 * byte, and so again each week. Call what it returns to end it; it resolves when nothing is read any more.
 */
export function startBlobAudit(options: BlobAuditOptions): () => Promise<void> {
  const closing = new AbortController()
  const { signal } = closing
  const run = async (): Promise<void> => {
    let depth: BlobDepth = 'length'
    while (!signal.aborted) {
      const hasEnded = await audit(options, depth, signal).then(
        () => true,
        (err: unknown) => {
          options.log.warn({ err }, 'the content on disk could not be looked at; trying again')
          return false
        },
      )
      if (hasEnded && depth === 'length') depth = 'bytes'
      else await sleep(hasEnded ? INTERVAL_MS : RETRY_MS, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }
  const running = run()
  return async () => {
    closing.abort()
    await running
  }
}

async function audit(options: BlobAuditOptions, depth: BlobDepth, signal: AbortSignal): Promise<void> {
  const { blobs, onFault } = options
  const rest = createRests(signal)
  const isNew = createSeen()
  const auditFiles = async (manifest: string): Promise<void> => {
    for (const ref of manifestBlobs(await blobs.manifest(manifest))) {
      if (signal.aborted) return
      if (isNew(ref.digest) && !(await blobs.check(ref, depth, rest))) await onFault(ref.digest, 'file')
      await rest()
    }
  }
  for (const manifest of new Set(options.manifests())) {
    if (signal.aborted) return
    // A manifest is read for its list in any case: as a whole, so that no wrong list is followed.
    if (await blobs.check({ digest: manifest }, 'bytes', rest)) await auditFiles(manifest)
    else await onFault(manifest, 'manifest')
    await rest()
  }
}

/** Whether a digest comes for the first time, as far as is remembered. */
function createSeen(): (digest: string) => boolean {
  const seen = new Set<string>()
  return (digest) => {
    if (seen.has(digest)) return false
    if (seen.size >= MAX_SEEN) seen.clear()
    seen.add(digest)
    return true
  }
}

/** Rests so long that the time between its calls is `WORK_SHARE` of all. */
function createRests(signal: AbortSignal): () => Promise<void> {
  let sinceMs = performance.now()
  return async () => {
    const dueMs = ((performance.now() - sinceMs) * (1 - WORK_SHARE)) / WORK_SHARE
    if (dueMs < LEAST_REST_MS) return
    await sleep(dueMs, undefined, { signal }).catch(() => undefined)
    sinceMs = performance.now()
  }
}
