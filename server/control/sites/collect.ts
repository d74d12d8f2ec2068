import { manifestBlobs } from '../../contract/manifest.ts'
import type { Logger } from '../../process/log.ts'
import type { Db } from '../db.ts'
import { type Loop, startLoop } from '../jobs/loop.ts'
import type { BlobStore } from './blobs.ts'
import { readManifest } from './manifests.ts'
import { isBackupRunning, listManifests } from './store.ts'

/** A blob is left alone this long after it was written or used: its release may not be committed yet. */
const GRACE_MS = 60 * 60_000
const INTERVAL_MS = 60 * 60_000
const PAGE = 500

/** What the collector needs. */
export type CollectorDeps = { readonly db: Db; readonly blobs: BlobStore; readonly log: Logger }

/**
 * Starts the loop that deletes blobs which no release needs any more, and removes at once what
 * uploads of a killed process left. Start it before the API takes uploads, in one process per store.
 */
export function startBlobCollector(deps: CollectorDeps): Loop {
  deps.blobs.clearTemporary()
  return startLoop({
    name: 'sites.blobs',
    log: deps.log,
    intervalMs: INTERVAL_MS,
    pass: async (signal) => {
      const swept = await collectBlobs(deps, new Date(), signal)
      if (swept > 0) deps.log.info({ swept }, 'deleted blobs that no release needs')
      return null
    },
  })
}

/**
 * Marks what the manifests of all releases name, then sweeps the rest, but what is younger than an
 * hour at `now`. Sweeps nothing while a backup runs, which copies what its own moment needs, and nothing when a manifest cannot be read. Returns how many blobs went.
 */
export async function collectBlobs(
  { db, blobs }: Omit<CollectorDeps, 'log'>,
  now: Date,
  signal: AbortSignal,
): Promise<number> {
  const marked = new Set<string>()
  let cursor = '00000000-0000-0000-0000-000000000000'
  for (;;) {
    const page = await listManifests(db, cursor, PAGE)
    for (const { manifestDigest } of page) {
      signal.throwIfAborted()
      await mark(blobs, manifestDigest, marked)
    }
    const last = page.at(-1)
    if (last === undefined) break
    cursor = last.id
  }
  // After marking: what a backup that begins from here on needs was there when it was marked.
  if (await isBackupRunning(db)) return 0
  return blobs.sweep((digest) => marked.has(digest), new Date(now.getTime() - GRACE_MS))
}

async function mark(blobs: BlobStore, digest: string, marked: Set<string>): Promise<void> {
  if (marked.has(digest)) return
  const manifest = await readManifest(blobs, digest)
  if (manifest === null) throw new Error(`the manifest ${digest} of a release is missing: nothing is swept`)
  marked.add(digest)
  for (const blob of manifestBlobs(manifest)) marked.add(blob.digest)
}
