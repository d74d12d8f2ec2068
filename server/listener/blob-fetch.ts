import type { FrameSocket } from '../contract/frame-socket.ts'
import type { BlobHeadMessage, BlobRequestMessage } from '../contract/link.ts'
import { MAX_BLOB_BYTES } from '../contract/link.ts'
import { MAX_MANIFEST_BYTES, manifestBlobs } from '../contract/manifest.ts'
import type { Payloads, ServingRecord } from '../contract/records.ts'
import type { Logger } from '../process/log.ts'
import { createSleeper } from '../process/sleeper.ts'
import { startBlobAudit } from './blob-audit.ts'
import { type BlobKind, createBlobRepair } from './blob-repair.ts'
import { BlobError, type EdgeBlobs, MissingBlobError } from './blobs.ts'
import type { EdgeStore } from './edge-store.ts'

/** The control plane is silent for longer than this in the middle of a blob: connect again. */
const BLOB_SILENCE_MS = 30_000
/** Wait before content that could not be had is asked for again, doubled up to the most. */
const RETRY_MS = 1_000
const MAX_RETRY_MS = 60_000
/** How often blobs that nothing needs are looked for. */
const COLLECT_INTERVAL_MS = 10 * 60_000
/** A reason is shown to administrators; more than this is noise. */
const MAX_REASON = 300

/** What fetching needs. */
export type BlobFetchOptions = {
  readonly store: EdgeStore
  readonly blobs: EdgeBlobs
  /** Opens a blob channel that has been greeted. */
  readonly connect: () => Promise<FrameSocket>
  /** The content of this parked record is here. */
  readonly onComplete: (record: ServingRecord) => Promise<void>
  /** A reason has changed. */
  readonly onChange: () => void
  readonly log: Logger
}

/**
 * Brings the content of parked sites, on a connection of its own, so that no record waits for it; and once more what
 * was lost on disk of those that are served.
 */
export type BlobFetch = {
  /** Looks at the parked sites soon; all are tried again, whatever their waits were. */
  wake(): void
  /** A blob of a served site is missing or damaged, as far as a worker can tell: looks, and fetches it again. */
  repair(digest: string, kind: BlobKind): void
  /** Why a site's content is not here, when that is known. */
  reasonFor(siteId: string): string | null
  close(): Promise<void>
}

/** Starts fetching. One pass at a time; a site whose content fails delays no other. */
export function startBlobFetch(options: BlobFetchOptions): BlobFetch {
  const { store, blobs, log } = options
  const reasons = new Map<string, string>()
  let channel: FrameSocket | null = null
  let retryMs = RETRY_MS
  const closing = new AbortController()
  const sleeper = createSleeper(closing.signal)
  let collectedAtMs = performance.now()

  const request = async (): Promise<FrameSocket> => {
    channel ??= await options.connect()
    return channel
  }
  const fetchBlob = async (digest: string, limit: number): Promise<void> => {
    if (await blobs.has(digest)) return
    const socket = await request()
    try {
      await receiveBlob(socket, blobs, digest, limit)
    } catch (error) {
      // After a missing blob the channel is in order; after anything else it is not known where it stands.
      if (!(error instanceof MissingBlobError)) {
        socket.close()
        channel = null
      }
      throw error
    }
  }
  const repair = createBlobRepair({ blobs, fetch: fetchBlob, signal: closing.signal, log })
  const fetchContent = async (record: ServingRecord): Promise<boolean> => {
    const { manifest } = record.payload as Payloads['site']
    if (manifest === null) return true
    // A blob that another release has brought is used as it is, if it can be what it should be.
    if (!(await blobs.check({ digest: manifest }, 'bytes'))) await blobs.remove(manifest)
    await fetchBlob(manifest, MAX_MANIFEST_BYTES)
    for (const ref of manifestBlobs(await blobs.manifest(manifest))) {
      if (closing.signal.aborted || !store.isParked(record)) return false
      if (!(await blobs.check(ref, 'length'))) await blobs.remove(ref.digest)
      await fetchBlob(ref.digest, MAX_BLOB_BYTES)
    }
    await blobs.flush()
    return true
  }
  /** Remembers why a site's content is not here, and tells it once. */
  const note = (siteId: string, error: unknown): void => {
    const reason = reasonOf(error)
    if (reasons.get(siteId) === reason) return
    reasons.set(siteId, reason)
    log.warn({ err: error, siteId }, "a site's content could not be had; trying again")
    options.onChange()
  }
  const forgetReasons = (parked: readonly ServingRecord[]): void => {
    const waiting = new Set(parked.map(({ key }) => key))
    for (const siteId of reasons.keys()) if (!waiting.has(siteId)) reasons.delete(siteId)
  }
  /** Whether every site has its content now: those that are served first. */
  const pass = async (): Promise<boolean> => {
    const repaired = await repair.pass()
    if (repaired === 'more') sleeper.wake()
    return (await fetchParked()) && repaired !== 'failed'
  }
  const fetchParked = async (): Promise<boolean> => {
    const parked = store.parked()
    forgetReasons(parked)
    let isComplete = true
    for (const record of parked) {
      if (closing.signal.aborted) return false
      try {
        if (!(await fetchContent(record))) continue
        reasons.delete(record.key)
        await options.onComplete(record)
      } catch (error) {
        isComplete = false
        note(record.key, error)
      }
    }
    return isComplete
  }
  const collect = async (): Promise<void> => {
    if (performance.now() - collectedAtMs < COLLECT_INTERVAL_MS) return
    collectedAtMs = performance.now()
    const removed = await blobs.collect(neededManifests(store), performance.now())
    if (removed > 0) log.info({ removed }, 'removed content that no site needs any more')
  }
  const run = async (): Promise<void> => {
    await blobs.clearTemporary()
    while (!closing.signal.aborted) {
      sleeper.begin()
      try {
        const isComplete = await pass()
        retryMs = isComplete ? RETRY_MS : Math.min(retryMs * 2, MAX_RETRY_MS)
        if (isComplete) await collect()
        await sleeper.sleep(isComplete ? COLLECT_INTERVAL_MS : retryMs)
      } catch (error) {
        log.error({ err: error }, 'looking for content failed; trying again')
        await sleeper.sleep(MAX_RETRY_MS)
      }
    }
  }
  const running = run()
  const endAudit = startBlobAudit({
    blobs,
    manifests: store.servedManifests,
    onFault(digest, kind) {
      repair.add(digest, kind)
      sleeper.wake()
      return repair.room()
    },
    log,
  })
  return {
    repair(digest, kind) {
      repair.add(digest, kind)
      retryMs = RETRY_MS
      sleeper.wake()
    },
    reasonFor: (siteId) => reasons.get(siteId) ?? null,
    wake() {
      retryMs = RETRY_MS
      sleeper.wake()
    },
    async close() {
      closing.abort()
      channel?.close()
      await Promise.all([running, endAudit()])
    },
  }
}

async function receiveBlob(socket: FrameSocket, blobs: EdgeBlobs, digest: string, limit: number): Promise<void> {
  const message: BlobRequestMessage = { type: 'blob', digest }
  await socket.send(message, BLOB_SILENCE_MS)
  const head = (await socket.receive(BLOB_SILENCE_MS)) as BlobHeadMessage | undefined
  if (head?.type !== 'blob-head' || head.digest !== digest) throw new BlobError('the control plane ended the channel')
  if (head.bytes === null) throw new MissingBlobError(`the control plane does not have the blob ${digest}`)
  if (!(Number.isSafeInteger(head.bytes) && head.bytes >= 0 && head.bytes <= limit))
    throw new BlobError(`the blob ${digest} is larger than an edge takes`)
  await blobs.write(digest, socket.receiveRaw(head.bytes, BLOB_SILENCE_MS))
}

function neededManifests(store: EdgeStore): string[] {
  const parked = store.parked().flatMap(({ payload }) => (payload as Payloads['site']).manifest ?? [])
  return [...store.servedManifests(), ...parked]
}

function reasonOf(error: unknown): string {
  if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return 'there is no room left on the disk of this edge'
  return (error as Error).message.slice(0, MAX_REASON)
}
