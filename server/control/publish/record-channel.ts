import type { FrameSocket } from '../../contract/frame-socket.ts'
import { encodeFrame, FrameError, MAX_FRAME_BYTES } from '../../contract/frames.ts'
import {
  type AckMessage,
  ackProblem,
  type HelloMessage,
  LEASE_MS,
  LEASE_RENEWAL_MS,
  LINK_PROTOCOL,
  type RecordsMessage,
  type WelcomeMessage,
} from '../../contract/link.ts'
import type { ServingRecord } from '../../contract/records.ts'
import { faultPoint } from '../../process/fault-point.ts'
import { saveAck, saveHello } from '../edges/store.ts'
import { type SealDeps, sealRecords } from './seal-records.ts'
import { type Feed, readFeed, readRecords, type StoredRecord } from './store.ts'

/** Records that are read at a time. */
const PAGE = 500
/** A message is closed above this; one record alone may be larger. */
const MESSAGE_BYTES = MAX_FRAME_BYTES / 2
/** Longest wait for an ack of a batch: its write and every worker's confirmation. */
const ACK_LIMIT_MS = 60_000
/** Longest time that a peer may take to accept what is sent. */
const SEND_LIMIT_MS = 30_000
/** Longest wait between looks at the feed, for hints that were lost. */
const POLL_MS = 2_000

/** What the record channel needs. */
export type RecordChannelDeps = SealDeps & {
  /** An ack was written: whoever waits for it may look again. */
  readonly onAck: () => void
}

/** One connected edge. */
export type RecordChannel = {
  /** The feed has grown. */
  wake(): void
  /** Serves until the connection ends. Throws what ended it, if it was not the peer's own close. */
  serve(): Promise<void>
}

/** Makes the channel of an edge that has said hello. */
export function recordChannel(deps: RecordChannelDeps, socket: FrameSocket, hello: HelloMessage): RecordChannel {
  const signal = createSignal()
  const publicKey = Buffer.from(hello.publicKey, 'base64')
  let sent = 0
  let acked = 0
  let hasWholeFeed: string | null = null

  const onAck = ackWriter(deps, hello.edgeId)
  const receiveAcks = async (): Promise<void> => {
    for (;;) {
      const message = await socket.receive(LEASE_MS)
      if (message === undefined) return
      const problem = ackProblem(message)
      if (problem !== null) throw new FrameError(problem)
      const ack = message as AckMessage
      if (ack.revision > sent) throw new FrameError(`an ack of revision ${ack.revision}, of which nothing was sent`)
      acked = Math.max(acked, ack.revision)
      signal.notify()
      await onAck(ack, hasWholeFeed)
    }
  }
  const acknowledged = async (revision: number): Promise<void> => {
    const limit = performance.now() + ACK_LIMIT_MS
    while (acked < revision && !signal.isEnded()) {
      if (performance.now() > limit) throw new FrameError(`no ack of revision ${revision} for ${ACK_LIMIT_MS} ms`)
      await signal.wait(POLL_MS)
    }
  }
  const sendPage = async (records: readonly StoredRecord[]): Promise<void> => {
    const sealed = await sealRecords(deps, publicKey, records)
    const newest = records.at(-1)?.revision ?? sent
    for (const message of messagesOf(sealed, newest, deps)) {
      if (signal.isEnded()) return
      sent = message.revision
      await socket.send(message, SEND_LIMIT_MS)
      faultPoint('publish.sent')
      await acknowledged(message.revision)
    }
  }
  const sendRecords = async (welcome: WelcomeMessage): Promise<void> => {
    let isSnapshot = welcome.mode === 'snapshot'
    if (!isSnapshot) hasWholeFeed = welcome.feedId
    while (!signal.isEnded()) {
      const records = await readRecords(deps.db, sent, PAGE)
      if (isStale(await readFeed(deps.db), welcome, sent, isSnapshot)) {
        throw new FrameError('the feed was replaced; connect again')
      }
      if (records.length > 0) await sendPage(records)
      else if (isSnapshot) {
        sent = Math.max(sent, welcome.head)
        await socket.send({ type: 'snapshot-end', revision: sent }, SEND_LIMIT_MS)
        isSnapshot = false
        hasWholeFeed = welcome.feedId
        await acknowledged(sent)
      } else await signal.wait(POLL_MS)
    }
  }
  return {
    wake: signal.notify,
    async serve() {
      const welcome = await greet(deps, hello)
      sent = welcome.mode === 'resume' ? hello.revision : 0
      acked = sent
      await socket.send(welcome, SEND_LIMIT_MS)
      const close = (): void => {
        signal.end()
        socket.close()
      }
      const results = await Promise.allSettled([receiveAcks().finally(close), sendRecords(welcome).finally(close)])
      for (const result of results) if (result.status === 'rejected') throw result.reason
    },
  }
}

/** Writes down who came with what, then decides: an edge of this feed goes on, any other begins anew. */
async function greet({ db }: RecordChannelDeps, hello: HelloMessage): Promise<WelcomeMessage> {
  const before = await readFeed(db)
  const canResume = (feed: Feed): boolean =>
    hello.feedId === feed.feedId && hello.revision >= feed.prunedRevision && hello.revision <= feed.revision
  await saveHello(db, hello, canResume(before) ? hello.revision : 0)
  // Read again: from here on the row keeps deletes that this edge needs from being forgotten.
  const feed = await readFeed(db)
  const mode = canResume(before) && canResume(feed) ? 'resume' : 'snapshot'
  return { type: 'welcome', protocol: LINK_PROTOCOL, feedId: feed.feedId, mode, head: feed.revision }
}

/** Whether what was sent so far is no prefix of this feed any more: restored, or pruned past the edge. */
function isStale(feed: Feed, welcome: WelcomeMessage, sent: number, isSnapshot: boolean): boolean {
  if (feed.feedId !== welcome.feedId || sent > feed.revision) return true
  return !isSnapshot && sent < feed.prunedRevision
}

/** Cuts a page into messages below the limit of a frame; the last one carries the page's newest revision. */
function* messagesOf(records: ServingRecord[], newest: number, { log }: SealDeps): Generator<RecordsMessage> {
  let batch: ServingRecord[] = []
  let bytes = 0
  for (const record of records) {
    const size = encodedBytes(record)
    if (size === null) {
      log.error({ kind: record.kind, key: record.key }, 'a record is too large to be sent; edges go without it')
      continue
    }
    if (bytes + size > MESSAGE_BYTES && batch.length > 0) {
      yield { type: 'records', records: batch, revision: batch.at(-1)?.revision ?? newest }
      batch = []
      bytes = 0
    }
    batch.push(record)
    bytes += size
  }
  yield { type: 'records', records: batch, revision: newest }
}

function encodedBytes(record: ServingRecord): number | null {
  try {
    return encodeFrame({ type: 'records', records: [record], revision: record.revision }).length
  } catch (error) {
    if (error instanceof FrameError) return null
    throw error
  }
}

/** Writes acks: each that says something new, and the lease when its renewal is due. */
function ackWriter(
  { db, onAck }: RecordChannelDeps,
  edgeId: string,
): (ack: AckMessage, feedId: string | null) => Promise<void> {
  let written = ''
  let writtenExceptions: string | null = null
  let writtenAtMs = Number.NEGATIVE_INFINITY
  return async (ack, feedId) => {
    const exceptionsText = JSON.stringify(ack.exceptions)
    const text = JSON.stringify([ack, feedId])
    // A little less than the renewal, so that a timer that is early does not cost a whole turn.
    const isDue = performance.now() - writtenAtMs > LEASE_RENEWAL_MS * 0.9
    if (text === written && !isDue) return
    const exceptions = exceptionsText === writtenExceptions ? null : ack.exceptions
    if (!(await saveAck(db, { edgeId, feedId, ack, exceptions }))) throw new FrameError('this edge was deleted')
    written = text
    writtenExceptions = exceptionsText
    writtenAtMs = performance.now()
    onAck()
  }
}

type Signal = {
  notify(): void
  /** Resolves at the next `notify`, at the end, or after `limitMs`. A notify before the wait is not lost. */
  wait(limitMs: number): Promise<void>
  end(): void
  isEnded(): boolean
}

function createSignal(): Signal {
  let isSet = false
  let hasEnded = false
  let release: (() => void) | null = null
  const notify = (): void => {
    isSet = true
    release?.()
  }
  return {
    notify,
    isEnded: () => hasEnded,
    end() {
      hasEnded = true
      notify()
    },
    async wait(limitMs) {
      if (!isSet && !hasEnded) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, limitMs)
          release = () => {
            clearTimeout(timer)
            resolve()
          }
        })
        release = null
      }
      isSet = false
    },
  }
}
