import { setTimeout as pause } from 'node:timers/promises'
import type { FrameSocket } from '../contract/frame-socket.ts'
import { type AckMessage, type ControlMessage, LEASE_RENEWAL_MS } from '../contract/link.ts'
import { faultPoint } from '../process/fault-point.ts'
import type { Logger } from '../process/log.ts'
import { type Applier, type ApplyPool, createApplier } from './apply.ts'
import { startBlobFetch } from './blob-fetch.ts'
import { createEdgeBlobs } from './blobs.ts'
import { type EdgeStore, isDamage } from './edge-store.ts'
import { type ChannelOptions, LinkRefusedError, openChannel } from './link-channel.ts'
import type { DiskFaults } from './worker-process.ts'

/** First and longest wait before connecting again; each is doubled and jittered. */
const MIN_BACKOFF_MS = 100
const MAX_BACKOFF_MS = 5_000
/** Both planes start together: a control plane that is not there yet is told only when it stays away. */
const START_GRACE_MS = 10_000
/** Content that arrives for many sites is told in one ack. */
const ANNOUNCE_MS = 20
/** Longest time that the control plane may take to accept an ack. */
const SEND_LIMIT_MS = 30_000
/** The control plane says nothing while nothing changes; a Unix socket tells when it is gone. */
const SILENCE_LIMIT_MS = 24 * 60 * 60 * 1_000

/** The workers, as far as the link concerns them. */
export type LinkPool = ApplyPool & {
  status(): { readonly workers: number; readonly runtime: string }
  /** Sets who hears of blobs that are missing or damaged on disk. */
  onDiskFaults?(listeners: Pick<DiskFaults, 'onBlob'>): void
}

/** What the link needs. */
export type LinkOptions = ChannelOptions & {
  /** Open for writing; the caller closes it after the link. */
  readonly store: EdgeStore
  readonly blobsFolder: string
  readonly pool: LinkPool
  readonly log: Logger
  /** Version of this program, shown with the edge. */
  readonly version: string
  readonly httpsPort: number
  /** The store's file is damaged and marked so: end the process, the next start rebuilds it. */
  readonly onDamaged?: () => void
}

/** The edge's side of the link. */
export type Link = {
  /** Whether the control plane can be heard now; an edge that is cut off goes on serving. */
  readonly isConnected: boolean
  /** Ends the connections and what is under way. */
  close(): Promise<void>
}

/** Connects to the control plane, and again whenever that was lost; applies what comes and confirms it. */
export function startLink(options: LinkOptions): Link {
  const { store, log } = options
  const closing = new AbortController()
  let session: Session | null = null
  const announce = coalesced(() => session?.sendAck())
  const fetch = startBlobFetch({
    store,
    blobs: createEdgeBlobs(options.blobsFolder),
    connect: () => openChannel(options, 'blobs', store.position(), closing.signal).then(({ frames }) => frames),
    onComplete: (record) => applier.unpark(record),
    onChange: announce,
    log,
  })
  options.pool.onDiskFaults?.({ onBlob: fetch.repair })
  const applier: Applier = createApplier({
    store,
    pool: options.pool,
    keyPair: options.identity.keyPair,
    pendingReason: fetch.reasonFor,
    onParked: fetch.wake,
    onChange: announce,
  })

  const connectOnce = async (): Promise<void> => {
    // What a lost connection brought is finished first, so that the hello tells the truth.
    await applier.idle()
    const position = { feedId: store.position().feedId, revision: applier.applied().revision }
    const { frames, welcome } = await openChannel(options, 'records', position, closing.signal)
    if (welcome.mode === 'snapshot') await applier.beginSnapshot()
    session = createSession(options, applier, frames)
    log.info({ mode: welcome.mode, head: welcome.head }, 'connected to the control plane')
    fetch.wake()
    try {
      await session.run(welcome.feedId)
    } finally {
      session.close()
      session = null
    }
  }
  const run = async (): Promise<void> => {
    const tell = outageLog(log)
    let backoffMs = MIN_BACKOFF_MS
    while (!closing.signal.aborted) {
      const startedAtMs = performance.now()
      const error = await connectOnce().catch((reason: unknown) => reason)
      if (closing.signal.aborted) return
      if (isDamage(error)) return endDamaged(options, error)
      tell(error)
      const hasLasted = performance.now() - startedAtMs > MAX_BACKOFF_MS
      backoffMs = hasLasted ? MIN_BACKOFF_MS : Math.min(backoffMs * 2, MAX_BACKOFF_MS)
      await pause(backoffMs * (0.5 + Math.random() / 2), undefined, { signal: closing.signal }).catch(() => undefined)
    }
  }
  const running = run()
  return {
    get isConnected() {
      return session !== null
    },
    async close() {
      closing.abort()
      session?.close()
      await Promise.all([running, fetch.close()])
      await applier.idle()
    },
  }
}

/** Runs `work` soon, once for all calls until then. */
function coalesced(work: () => void): () => void {
  let isDue = false
  return () => {
    if (isDue) return
    isDue = true
    setTimeout(() => {
      isDue = false
      work()
    }, ANNOUNCE_MS)
  }
}

/** The records are damaged: marks them, so that the next start mends them, and ends the process. */
export function endDamaged(
  { store, log, onDamaged }: Pick<LinkOptions, 'store' | 'log' | 'onDamaged'>,
  error: unknown,
): void {
  store.markDamaged()
  log.fatal({ err: error }, 'the records of this edge are damaged; they are mended by a restart')
  if (onDamaged === undefined) process.exit(1)
  onDamaged()
}

/** Says why there is no link once per reason, then only in detail; a control plane that is not up yet is no fault. */
function outageLog(log: Logger): (error: unknown) => void {
  const startedAtMs = performance.now()
  let told = ''
  return (error) => {
    const { message, code } = error as NodeJS.ErrnoException
    const isAbsent = code === 'ENOENT' || code === 'ECONNREFUSED'
    const isStarting = isAbsent && performance.now() - startedAtMs < START_GRACE_MS
    if (isStarting) return
    if (message === told) log.debug({ err: error }, 'there is still no link to the control plane')
    else if (isAbsent) log.info('the control plane is not there; serving what is here until it comes')
    else log.warn({ err: error }, 'the link to the control plane has ended; serving what is here, and trying again')
    told = message
  }
}

type Session = { run(feedId: string): Promise<void>; sendAck(): void; close(): void }

function createSession({ pool, version, httpsPort }: LinkOptions, applier: Applier, frames: FrameSocket): Session {
  let failure: unknown
  const sendAck = (): void => {
    try {
      const ack: AckMessage = { type: 'ack', ...applier.applied(), ...pool.status(), version, httpsPort }
      // A connection that is gone shows in `receive`.
      frames.send(ack, SEND_LIMIT_MS).catch(() => undefined)
    } catch (error) {
      // The store cannot be read: the session ends with that error, since nothing can be confirmed.
      failure = error
      frames.close()
    }
  }
  const take = async (message: ControlMessage, feedId: string): Promise<void> => {
    if (message.type === 'records') await applier.apply(message)
    else if (message.type === 'snapshot-end') await applier.endSnapshot(feedId, message.revision)
    else if (message.type === 'refusal') throw new LinkRefusedError(message.detail)
    else throw new Error(`the control plane sent "${message.type}", which does not belong here`)
  }
  return {
    sendAck,
    close: frames.close,
    async run(feedId) {
      sendAck()
      const renewal = setInterval(sendAck, LEASE_RENEWAL_MS)
      try {
        for (;;) {
          const message = await frames.receive(SILENCE_LIMIT_MS)
          if (failure !== undefined) throw failure
          if (message === undefined) throw new LinkRefusedError('the control plane ended the connection')
          await take(message as ControlMessage, feedId)
          sendAck()
          faultPoint('apply.acked')
        }
      } finally {
        clearInterval(renewal)
      }
    },
  }
}
